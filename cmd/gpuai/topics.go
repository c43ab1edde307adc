package main

import (
	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/runtime/spec"
)

// newJobFileTopic is a help topic: a command that runs nothing.
func newJobFileTopic(*App) *cobra.Command {
	return &cobra.Command{
		Use: "job-file", Short: "The keys of a job file",
		Long: "A job file is YAML or JSON. Every order flag of gpuai run is one of its keys, and replaces it. Only " +
			"image is needed.\nLocal paths (from, to) begin in the folder of the job file; those of --in and --out " +
			"in the shell's.\n\n" + spec.Example(),
	}
}
