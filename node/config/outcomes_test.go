package config

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestOutcomes_Words: a provider's leases are public unless its owner says private; another word is refused by name.
func TestOutcomes_Words(t *testing.T) {
	t.Parallel()
	for word, ok := range map[string]bool{"": true, OutcomesPublic: true, OutcomesPrivate: true, "secret": false} {
		text := "[provider]\n"
		if word != "" {
			text += "outcomes = \"" + word + "\"\n"
		}
		l, err := Load(Options{Path: file(t, text), Env: []string{"HOME=" + t.TempDir()}})
		if ok != (err == nil) {
			t.Errorf("%q: %v", word, err)
			continue
		}
		if !ok {
			if market.CodeOf(err) != market.CodeConfigInvalid || !strings.Contains(err.Error(), "provider.outcomes") {
				t.Errorf("%q: %v", word, err)
			}
			continue
		}
		if got, private := l.Config.Provider.Outcomes, word == OutcomesPrivate; got != OutcomesPublic && !private ||
			private && got != word {
			t.Errorf("%q is %q", word, got)
		}
	}
}
