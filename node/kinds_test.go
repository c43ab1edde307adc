package node

import (
	"slices"
	"testing"

	"github.com/gpuai/gpuai/node/config"
)

// TestKinds_AreTheRolesOfTheSettings: a role that the settings refuse could not be had, one that nobody builds is none.
func TestKinds_AreTheRolesOfTheSettings(t *testing.T) {
	t.Parallel()
	var names []string
	for _, k := range kinds() {
		names = append(names, k.Name)
	}
	if !slices.Equal(names, config.Roles) {
		t.Errorf("kinds %v, roles %v", names, config.Roles)
	}
}
