package db

import (
	"context"
	"fmt"
)

// Program is the escrow program as it lay on the ledger at a slot. Hash is its SHA-256 in hex, Authority who may change
// it, "-": nobody.
type Program struct {
	Hash, Authority string
	Slot            int64
}

// MetaProgram is where a Program's text stands, "" where none was read.
const MetaProgram = "program"

func (p Program) String() string { return fmt.Sprintf("%s %s %d", p.Hash, p.Authority, p.Slot) }

// Program is what was read last; false: nothing was.
func (d *Reads) Program(ctx context.Context) (p Program, ok bool, err error) {
	v, err := d.Meta(ctx, MetaProgram)
	if err != nil || v == "" {
		return p, false, err
	}
	if _, err = fmt.Sscanf(v, "%s %s %d", &p.Hash, &p.Authority, &p.Slot); err != nil {
		err = fmt.Errorf("read the program's row: %w", err)
	}
	return p, err == nil, err
}
