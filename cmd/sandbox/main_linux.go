package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		args = []string{""}
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "init": // --capture|--exec -- argv
		if len(rest) >= 2 && rest[1] == "--" {
			return guard.Init(rest[0] != "--exec", rest[2:], os.Stderr)
		}
	case "gate":
		return report(guard.Gate(os.Stdin, os.Stdout))
	case "guard": // JSON
		var cfg guard.NetworkConfig
		if len(rest) == 1 && json.Unmarshal([]byte(rest[0]), &cfg) == nil {
			return report(guard.Network(cfg, os.Stdout))
		}
	case "probe": // JSON
		var cfg guard.ProbeConfig
		if len(rest) == 1 && json.Unmarshal([]byte(rest[0]), &cfg) == nil {
			return report(json.NewEncoder(os.Stdout).Encode(guard.Probe(cfg)))
		}
	case "exec": // cols rows -- argv; 0 0: no terminal
		if len(rest) >= 4 && rest[2] == "--" {
			cols, cerr := strconv.ParseUint(rest[0], 10, 16)
			rows, rerr := strconv.ParseUint(rest[1], 10, 16)
			if cerr == nil && rerr == nil {
				return guard.Exec(cols > 0, uint16(cols), uint16(rows), rest[3:], os.Stdin, os.Stdout, os.Stderr)
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: sandbox init --capture|--exec -- COMMAND… | gate | guard JSON | probe JSON | "+
		"exec COLS ROWS -- COMMAND…")
	return 2
}

func report(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpuai:", err)
		return 1
	}
	return 0
}
