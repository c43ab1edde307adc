package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpuai/gpuai/escrow/program"
)

// outputs are the files made of the table, by their path in the module. Errors: none but bugs of a writer.
func outputs() (map[string]string, error) {
	golang, err := goText()
	if err != nil {
		return nil, err
	}
	idl, err := idlText(program.ID.String())
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"escrow/codec.gen.go": golang, "node/web/src/gen/escrow.ts": typescriptText(), "escrow/program/idl.json": idl,
	}, nil
}

func main() {
	files, err := outputs()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for path, text := range files {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
