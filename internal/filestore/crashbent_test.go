package filestore_test

import "github.com/durablestate/durable/internal/vfs"

// A bent directory breaks the protocol where a func is set.
type bent struct {
	vfs.Dir
	create  func(name string) (vfs.File, error)
	open    func(name string) (vfs.File, error)
	size    func(name string) (int64, error)
	publish func(oldname, newname string) error
	remove  func(name string) error
	sync    func() error
	lock    func(name string, create bool) (vfs.Lock, error)
}

func (b *bent) Create(name string) (vfs.File, error) {
	if b.create != nil {
		return b.create(name)
	}
	return b.Dir.Create(name)
}

func (b *bent) Open(name string) (vfs.File, error) {
	if b.open != nil {
		return b.open(name)
	}
	return b.Dir.Open(name)
}

func (b *bent) Size(name string) (int64, error) {
	if b.size != nil {
		return b.size(name)
	}
	return b.Dir.Size(name)
}

func (b *bent) Publish(oldname, newname string) error {
	if b.publish != nil {
		return b.publish(oldname, newname)
	}
	return b.Dir.Publish(oldname, newname)
}

func (b *bent) Remove(name string) error {
	if b.remove != nil {
		return b.remove(name)
	}
	return b.Dir.Remove(name)
}

func (b *bent) Sync() error {
	if b.sync != nil {
		return b.sync()
	}
	return b.Dir.Sync()
}

func (b *bent) OpenLock(name string, create bool) (vfs.Lock, error) {
	if b.lock != nil {
		return b.lock(name, create)
	}
	return b.Dir.OpenLock(name, create)
}

// A bentFile breaks the protocol of a file where a func is set.
type bentFile struct {
	vfs.File
	write func([]byte) (int, error)
	sync  func() error
}

func (f *bentFile) Write(b []byte) (int, error) {
	if f.write != nil {
		return f.write(b)
	}
	return f.File.Write(b)
}

func (f *bentFile) Sync() error {
	if f.sync != nil {
		return f.sync()
	}
	return f.File.Sync()
}

// created makes all new files of d what bend makes of them.
func created(d vfs.Dir, bend func(*bentFile)) *bent {
	return &bent{Dir: d, create: func(name string) (vfs.File, error) {
		f, err := d.Create(name)
		if err != nil {
			return nil, err
		}
		b := &bentFile{File: f}
		bend(b)
		return b, nil
	}}
}

type bentLock struct {
	vfs.Lock
	exclusive func() (bool, error)
	inPlace   func() (bool, error)
	close     func() error
}

func (l *bentLock) InPlace() (bool, error) {
	if l.inPlace != nil {
		return l.inPlace()
	}
	return l.Lock.InPlace()
}

func (l *bentLock) Exclusive() (bool, error) {
	if l.exclusive != nil {
		return l.exclusive()
	}
	return l.Lock.Exclusive()
}

func (l *bentLock) Close() error {
	if l.close != nil {
		return l.close()
	}
	return l.Lock.Close()
}

// locked makes the writers' lock what bend makes of it.
func locked(d vfs.Dir, bend func(*bentLock)) vfs.Dir {
	return &bent{Dir: d, lock: func(name string, create bool) (vfs.Lock, error) {
		l, err := d.OpenLock(name, create)
		if err != nil || name != "LOCK" {
			return l, err
		}
		b := &bentLock{Lock: l}
		bend(b)
		return b, nil
	}}
}
