package powercut_test

func (j job) contend() error       { return nil }
func (j job) starveFiles() error   { return nil }
func (j job) limitFileSize() error { return nil }
