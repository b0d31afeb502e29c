// Package docs holds the tests that keep README.md, CONTRIBUTING.md, CHANGELOG.md
// and docs/*.md true: every block of code is compiled, parsed or executed, every link leads somewhere, and
// what the map of the repository and the table of goroutines name exists, and every error and line of the log
// has its row in docs/recovery.md. It has no code.
//
// The first word behind the fence says what a block is:
//
//	go       compiled. A block is a file, declarations or statements. The blocks of a page share
//	         their declarations; an HTML comment "<!-- go ... -->" adds some that readers need not see.
//	sh       executed by bash in the root of the repository, with REDIS_URL, STATE_DIR, SPILL_DIR and OUT set
//	yaml     with state_persistence: parsed by ParseConfig; otherwise as YAML
//	python   executed by python3 in the root of the repository
//	json     parsed
//	text     shown as it is: layouts, tables, output. No code and no commands.
//	console  a recording; from=<script> names the script of the repository that makes it
//
// A block that cannot be executed says why: "sh skip=needs-a-cluster". The
// reasons are listed in the test.
package docs
