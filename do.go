package durable

// Do runs one unit of work: fn may take a message, change several components and
// advance the offset. With Options.Consistent no checkpoint has a part of what fn
// did: all or nothing. Any number of units run at the same time; while a
// checkpoint copies the changed components, which takes milliseconds, new ones
// wait. Without Consistent Do just calls fn.
//
// Do inside Do, or inside Update or View of a component, is forbidden: a
// checkpoint that comes in between waits for both. Commit, CheckpointState and
// Checkpoint inside Do are a programming error that ends with ctx. Before Restore and after
// Close fn runs all the same, and its changes are those of any Update then.
func (c *Checkpointer) Do(fn func()) {
	if !c.opts.Consistent {
		fn()
		return
	}
	defer c.units.Enter().Leave()
	fn()
}

// savers returns what is saved by itself: every component, or the set of all.
func (c *Checkpointer) savers() []*member {
	if c.opts.Consistent {
		return []*member{c.set.m}
	}
	members, _ := c.choose(nil)
	return members
}

// saver returns what the component is saved with: itself, or the set.
func (m *member) saver() *member {
	if m.part != nil {
		return m.c.set.m
	}
	return m
}
