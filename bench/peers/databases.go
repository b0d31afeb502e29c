package peers

import (
	"database/sql"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite" // the driver

	"github.com/durablestate/durable/bench/peers/peer"
)

type pebbleStore struct{ db *pebble.DB }

func openPebble(dir string) (peer.Store, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}})
	return pebbleStore{db}, err
}

func (s pebbleStore) Put(key string, value []byte) error {
	return s.db.Set([]byte(key), value, pebble.Sync)
}

func (s pebbleStore) Close() error { return s.db.Close() }

// silent keeps pebble from telling of every file.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, _ ...any) {
	panic("pebble: " + format)
}

type bboltStore struct{ db *bbolt.DB }

var bucket = []byte("states")

func openBbolt(dir string) (peer.Store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	return bboltStore{db}, err
}

func (s bboltStore) Put(key string, value []byte) error {
	return s.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte(key), value) })
}

func (s bboltStore) Close() error { return s.db.Close() }

type sqliteStore struct {
	db     *sql.DB
	upsert *sql.Stmt
}

// openSQLite uses one connection: SQLite has one writer at a time anyway, and
// callers wait in Go for less than they would in SQLite.
func openSQLite(dir string) (peer.Store, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "states.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS states (id TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID"); err != nil {
		return nil, err
	}
	upsert, err := db.Prepare("INSERT INTO states (id, data) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data")
	return &sqliteStore{db, upsert}, err
}

func (s *sqliteStore) Put(key string, value []byte) error {
	_, err := s.upsert.Exec(key, value)
	return err
}

func (s *sqliteStore) Close() error { return s.db.Close() }
