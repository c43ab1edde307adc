package main

import (
	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/runtime/spec"
)

func newJobCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "job", Short: "Job files"}
	cmd.AddCommand(&cobra.Command{
		Use: "schema", Short: "The JSON Schema of job files, for editors and programs", Args: exact(0, "no arguments"),
		Example: "  gpuai job schema > job.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(spec.Schema())
			return err
		},
	})
	return cmd
}
