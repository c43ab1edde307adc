package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/gpuai/gpuai/escrow/program"
)

// maxELF is the ceiling of TestELF_StrictV3.
const maxELF = 24 << 10

// gateLine is what TestCU_Gate logs for each instruction.
var gateLine = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (\S+)\s+(\d+) CU, ceiling\s+(\d+)$`)

// benchCU runs the test that holds the ceilings, on the real program in LiteSVM, and reports what it measured.
func benchCU(ctx context.Context, _ options, r *report) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^TestCU_Gate$", "./escrow/localnet")
	cmd.Env = append(os.Environ(), "GPUAI_NEED=node") // without a ledger the test fails instead of being skipped
	out, err := cmd.CombinedOutput()
	figures, perr := gateFigures(out)
	for _, f := range figures { // also those of a run that failed: they say which ceiling is broken
		if err := r.add(f); err != nil {
			return err
		}
	}
	if err = errors.Join(err, perr); err != nil {
		return fmt.Errorf("TestCU_Gate: %w\n%s", err, out)
	}
	n := len(program.ELF)
	return r.add(figure{Name: "program_elf", Value: float64(n), Unit: "bytes", Target: fmt.Sprintf("≤ %d", maxELF),
		OK: n <= maxELF})
}

func gateFigures(out []byte) (list []figure, err error) {
	for _, m := range gateLine.FindAllSubmatch(bytes.TrimSpace(out), -1) {
		cu, err := strconv.ParseUint(string(m[2]), 10, 64)
		if err != nil {
			return nil, err
		}
		ceiling, err := strconv.ParseUint(string(m[3]), 10, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, figure{Name: "cu_" + string(m[1]), Value: float64(cu), Unit: "CU",
			Target: fmt.Sprintf("≤ %d", ceiling), OK: cu <= ceiling})
	}
	if len(list) == 0 {
		return nil, errors.New("no figures in its log")
	}
	return list, nil
}
