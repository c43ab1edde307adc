package api_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// needTypes skips a test without Node.js and the packages that .ci/setup installs; where GPUAI_NEED names node, it
// fails.
func needTypes(t *testing.T, folder string) {
	t.Helper()
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(folder, "node_modules", "typescript"))
	}
	switch {
	case err == nil:
	case slices.Contains(strings.Split(os.Getenv("GPUAI_NEED"), ","), "node"):
		t.Fatalf("the test needs node and %s/node_modules: %v", folder, err)
	default:
		t.Skipf("no node, or no %s/node_modules (.ci/setup installs both): %v", folder, err)
	}
}

// TestTypeScript_TypesComeFromTheDocument: openapi-typescript reads the document, and a use of its types compiles.
func TestTypeScript_TypesComeFromTheDocument(t *testing.T) {
	t.Parallel()
	folder, err := filepath.Abs("typescript")
	if err != nil {
		t.Fatal(err)
	}
	needTypes(t, folder)
	document, err := filepath.Abs(page)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	use, err := os.ReadFile(filepath.Join(folder, "use.ts"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "use.ts"), use, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"openapi-typescript/bin/cli.js", document, "-o", filepath.Join(dir, "node.d.ts")},
		{"typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022",
			"--module", "nodenext",
			"--allowImportingTsExtensions", filepath.Join(dir, "use.ts")},
	} {
		cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(folder, "node_modules", args[0])},
			args[1:]...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
}
