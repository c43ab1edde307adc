package docs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDrawings_MadeFromTheirSources: each flow has one, its page shows it, and neither text nor picture was changed
// without the other.
func TestDrawings_MadeFromTheirSources(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("flows/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("%d flows, %v", len(pages), err)
	}
	shownBy := map[string]string{"market": "../README.md"}
	for _, p := range pages {
		shownBy[strings.TrimSuffix(p, ".md")] = p
	}
	var sums strings.Builder
	for _, name := range []string{"flows/crash", "flows/indexer", "flows/offer", "flows/order", "flows/outcome",
		"flows/payment", "market"} {
		page, ok := shownBy[name]
		if !ok {
			t.Errorf("%s.d2: no page", name)
			continue
		}
		delete(shownBy, name)
		if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "("+filepath.Base(name)+".svg)") &&
			!strings.Contains(string(b), "(docs/"+name+".svg)") {
			t.Errorf("%s does not show %s.svg: %v", page, name, err)
		}
		for _, f := range []string{name + ".d2", name + ".svg"} {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), f)
		}
	}
	for name := range shownBy {
		t.Errorf("%s has no drawing", name)
	}
	if want, err := os.ReadFile("drawings.sum"); err != nil || string(want) != sums.String() {
		t.Errorf("docs/drawings.sum: %v, or another text or picture than it names: make drawings", err)
	}
}
