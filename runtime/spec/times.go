package spec

import "time"

// Times of files: zip files know none before 1980 or after 2107, in any zone, and much software trips over them.
var (
	oldest = time.Date(1980, 1, 2, 0, 0, 0, 0, time.UTC).Unix()
	newest = time.Date(2107, 12, 30, 0, 0, 0, 0, time.UTC).Unix()
)

// mtimeOf is a file's time in unix seconds; one that is absent or out of range becomes the nearest that all software
// takes.
func mtimeOf(t time.Time) int64 { return min(max(t.Unix(), oldest), newest) }
