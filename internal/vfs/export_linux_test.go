package vfs

var (
	JudgeKind    = judgeKind
	JudgeOverlay = judgeOverlay
)
