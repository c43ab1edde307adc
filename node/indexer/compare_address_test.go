package indexer

import (
	"errors"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestCompare_AddressThatIsNone is told as the asker's mistake, with how to write one.
func TestCompare_AddressThatIsNone(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"127.0.0.1:8080", "index.example", "ftp://index.example", "", "a b"} {
		_, err := Compare(t.Context(), bad, bad, nil)
		var e *market.Error
		if !errors.As(err, &e) || e.Code != market.CodeBadUsage || !strings.Contains(e.Hint, "http://host:8080") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
