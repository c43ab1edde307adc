package main

import (
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/runtime/gpu"
)

// version is this program's; node and command line are the same file.
const version = "0.1.0"

func newVersionCmd(a *App) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "The version of this program", Args: exact(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error { return a.version() }}
}

func (a *App) version() error {
	doc := map[string]string{"version": version, "system": runtime.GOOS + "/" + runtime.GOARCH, "go": runtime.Version()}
	return a.print("version", doc, func(t *Table) { t.Row("gpuai", version, doc["system"], doc["go"]) })
}

// newAgentCmd is the child process that talks to the GPU driver: a driver that hangs or crashes takes only it along.
func newAgentCmd(*App) *cobra.Command {
	return &cobra.Command{Use: "gpu-agent", Hidden: true, Args: exact(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			return gpu.RunAgent(os.Stdin, os.Stdout)
		}}
}
