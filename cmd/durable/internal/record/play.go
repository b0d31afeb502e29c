package main

import "strings"

// play is the session.
func (r *recorder) play() error {
	r.say("Made by `go run ./cmd/durable/internal/record`: Redis and the harness example run, at first with `consistent: false`, and\n`redis.yaml` names its system.")
	if err := r.startHarness(); err != nil {
		return err
	}
	r.look()
	r.judge()
	if err := r.goBack(); err != nil {
		return err
	}
	if err := r.together(); err != nil {
		return err
	}
	r.move()
	r.refuse()
	return nil
}

func (r *recorder) look() {
	r.say("### What is saved, how old is it, who owns it")
	r.shell("durable version", "durable ls -c redis.yaml", "durable ls -c redis.yaml --json --sort age | head -n 1", "durable lease show -c redis.yaml")
	r.say("### One component")
	versions := strings.Fields(r.output(`durable history -c redis.yaml kafka_consumer --json | sed 's/.*"version":\([0-9]*\).*/\1/'`))
	r.shell("durable show -c redis.yaml metrics", "durable history -c redis.yaml kafka_consumer")
	if len(versions) > 1 {
		r.shell("durable diff -c redis.yaml metrics " + versions[1] + " " + versions[0])
	}
	r.say("### As it happens")
	r.shell("durable watch -c redis.yaml --count 2 --interval 2s")
}

func (r *recorder) judge() {
	r.say("### Is it sound")
	r.shell("durable verify -c redis.yaml", "durable drill -c redis.yaml", "durable doctor -c redis.yaml")
	r.say("### A backup")
	r.shell("durable export backup -c redis.yaml", "head -c 100 backup | head -n 1", "tail -n 1 backup")
}

func (r *recorder) goBack() error {
	r.say("### Rollback under a running owner")
	oldest := r.output(`durable history -c redis.yaml metrics --json | tail -n 1 | sed 's/.*"version":\([0-9]*\).*/\1/'`)
	r.shell("durable rollback -c redis.yaml metrics "+oldest, "durable rollback -c redis.yaml metrics "+oldest+" --yes")
	r.stopHarness(false)
	r.say("The harness was told at its next save, and stopped. Its last words:")
	r.text.WriteString("```text\n" + lastLine(r.log.String()) + "\n```\n\n")
	r.say("Started again, it restores the chosen content and goes on from there:")
	if err := r.startHarness(); err != nil {
		return err
	}
	r.shell("durable history -c redis.yaml metrics")
	r.stopHarness(true)
	return nil
}

// together is the session with a set.
func (r *recorder) together() error {
	r.say("### Components that are saved as one set")
	r.say("The same program with `consistent: true`, in a database of its own:")
	r.cuts, r.database = true, "/1"
	defer func() { r.database = "" }()
	if err := r.startHarness(); err != nil {
		return err
	}
	r.shell("durable ls -c redis.yaml", "durable history -c redis.yaml metrics", "durable rollback -c redis.yaml metrics "+r.versionOf("metrics", 2)+" --yes",
		"durable rollback -c redis.yaml '~set' "+r.versionOf("~set", 1)+" --yes")
	r.stopHarness(false)
	r.say("The harness was told, and stopped. Started again, it restores all of its components from the chosen set:")
	r.shell("durable drill -c redis.yaml", "durable show -c redis.yaml metrics | head -n 4")
	if err := r.startHarness(); err != nil {
		return err
	}
	r.shell("durable history -c redis.yaml '~set'")
	r.stopHarness(true)
	r.say("A component that the program is not to have any more is removed from the set:")
	r.shell("durable delete -c redis.yaml rule_engine", "durable delete -c redis.yaml rule_engine --yes", "durable show -c redis.yaml rule_engine",
		"durable drill -c redis.yaml")
	return nil
}

// versionOf returns a version of a component, 0 being the newest.
func (r *recorder) versionOf(id string, n int) string {
	list := strings.Fields(r.output("durable history -c redis.yaml '" + id + `' --json | sed 's/.*"version":\([0-9]*\).*/\1/'`))
	return list[min(n, len(list)-1)]
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func (r *recorder) move() {
	r.say("### Moving to files, and back from a backup")
	r.shell("durable copy --from redis.yaml --to files.yaml --dry-run", "durable copy --from redis.yaml --to files.yaml",
		"durable verify -c files.yaml", "durable copy --from redis.yaml --to files.yaml")
	r.shell("durable import backup -c restore.yaml", "durable ls -c restore.yaml", "durable doctor -c restore.yaml")
	r.say("### Deleting, and ending a lease")
	r.shell("durable delete -c restore.yaml fraud-detection/metrics", "durable delete -c restore.yaml fraud-detection/metrics --yes",
		"durable show -c restore.yaml fraud-detection/metrics", "durable lease release fraud-detection -c redis.yaml --yes")
}

func (r *recorder) refuse() {
	r.say("### When something is wrong")
	r.shell("durable show -c redis.yaml nobody", "durable show -c redis.yaml metrics --version 999",
		"head -c 1000 backup > cut; durable import cut -c restore.yaml", "durable import redis.yaml -c restore.yaml",
		"durable export backup -c redis.yaml", "durable ls --directory elsewhere",
		"durable ls --redis-url 'redis://app:secret@127.0.0.1:1?max_retries=1'", "durable frobnicate")
	r.say("### Completion")
	r.shell("durable completion bash | head -n 1", "durable __complete show -c redis.yaml r 2>/dev/null | head -n 2")
}
