package health

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpuai/gpuai/market"
)

// Repair is a fix that can do no harm. Say is what it does, for people to read before Do.
type Repair struct {
	Say string
	Do  func() error
}

// Repairs sorts what was found: what may be mended here and now, and what people should do themselves, as commands or
// advice. Only closing the own data folder is safe; packages, drivers and settings are the owner's.
func Repairs(in Input, findings []Finding) (safe []Repair, byHand []string) {
	dir := in.Config.Node.DataDir
	for _, f := range findings {
		if f.Level == OK {
			continue
		}
		done := false
		for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "state.db"): 0o600} {
			say := fmt.Sprintf("chmod %o %s", mode, path)
			if f.Code == market.CodeDataDirOpen && len(f.Fix) == 1 && f.Fix[0] == say {
				safe, done = append(safe, Repair{say, func() error { return os.Chmod(path, mode) }}), true
			}
		}
		if !done {
			byHand = append(byHand, f.Fix...)
		}
	}
	return safe, byHand
}
