package lint

import (
	"go/ast"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	goRedis = "github.com/redis/go-redis/v9"
	yaml    = "gopkg.in/yaml.v3"
	jsonv2  = "github.com/go-json-experiment/json"
)

// shared are the parts of the tests that several packages share.
var shared = []string{"internal/redistest", "internal/testkit", "internal/trial"}

// forbidden says why f must not import path, or nothing. Programs (package main)
// and tests may import more than the library: only the library's weight is
// everybody's.
func forbidden(f file, path string) string {
	program := f.Name.Name == "main"
	switch {
	case f.test(), slices.ContainsFunc(shared, f.under):
		return ""
	case path == module+"/internal/testkit":
		return "internal/testkit is for tests"
	case isUnder(path, goRedis):
		if f.name != "redis.go" && !f.under("internal/redisstore") && !program {
			return "only redis.go and internal/redisstore know the Redis client, so that file-only programs do not link it"
		}
	case isUnder(path, yaml):
		if !f.under("internal/config") && !program {
			return "only internal/config knows YAML"
		}
	case isUnder(path, jsonv2): // the encoding/json/v2 of Go 1.27, which will take its place
		if !f.under("internal/jsonstate") {
			return "only internal/jsonstate knows how states are encoded"
		}
	case path == module+"/internal/redisstore":
		if f.name != "redis.go" && !program {
			return "only redis.go reaches Redis code"
		}
	case path == module:
		if f.under("internal") && !program {
			return "dependencies point downwards: internal packages use plain types of their own"
		}
	case f.under("adaptertest") && path != module && !standard(path):
		return "third-party adapters run the suite: it must bring nothing along"
	case path == "net/http":
		if !f.under("healthhttp") && !program {
			return "only healthhttp serves HTTP: a library that keeps state needs no web server"
		}
	case path == "testing":
		if !f.under("adaptertest") {
			return "testing registers flags; it belongs into tests"
		}
	case !standard(path) && !isUnder(path, module):
		return "a dependency is everybody's weight: the default answer is no"
	}
	return ""
}

func isUnder(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// standard reports whether path is part of the standard library: its first
// element is no host name.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func TestImports_point_downwards_and_bring_in_nothing_else(t *testing.T) {
	for _, f := range sources(t) {
		for _, path := range f.imports() {
			assert.Empty(t, forbidden(f, path), "%s imports %s", f.name, path)
		}
	}
}

func TestImports_the_rules_refuse_what_they_should(t *testing.T) {
	refused := map[string]string{ // file -> import
		"file.go":                     goRedis,
		"internal/filestore/store.go": goRedis + "/internal/pool",
		"config.go":                   yaml,
		"internal/config/config.go":   "github.com/stretchr/testify/require",
		"memory.go":                   module + "/internal/redisstore",
		"internal/store/store.go":     module,
		"adaptertest/suite.go":        module + "/internal/store",
		"component.go":                "testing",
		"member.go":                   module + "/internal/testkit",
		"checkpoint.go":               "net/http",
	}
	for name, path := range refused {
		assert.NotEmpty(t, forbidden(parsedAs(name), path), "%s imports %s", name, path)
	}
	allowed := map[string]string{
		"redis.go":                     goRedis,
		"internal/redisstore/store.go": goRedis,
		"internal/config/value.go":     yaml,
		"adaptertest/suite.go":         module,
		"checkpoint.go":                module + "/internal/store",
		"healthhttp/healthhttp.go":     "net/http",
		"file_test.go":                 "github.com/stretchr/testify/require",
		"internal/testkit/flaky.go":    module,
		"internal/engine/x_test.go":    module + "/internal/testkit",
	}
	for name, path := range allowed {
		assert.Empty(t, forbidden(parsedAs(name), path), "%s imports %s", name, path)
	}
}

func parsedAs(name string) file {
	return file{name, &ast.File{Name: ast.NewIdent("durable")}}
}
