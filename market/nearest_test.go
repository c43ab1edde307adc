package market

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"vram", "ram", "disk", "disk_read", "cc"}
	for word, want := range map[string]string{"vrma": "vram", "dsik": "disk", "disk_raed": "disk_read", "rm": "ram",
		"xx": "", "country": "", "": ""} {
		if got := Nearest(word, known, 2); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := Nearest(string(make([]byte, 65)), known, 100); got != "" {
		t.Errorf("a huge word: %q", got)
	}
}
