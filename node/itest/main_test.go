//go:build integration

package itest

import (
	"os"
	"testing"

	"github.com/gpuai/gpuai/node/api/apitest"
)

// TestMain holds every answer of the nodes here against the API's document.
func TestMain(m *testing.M) { os.Exit(apitest.Tests(m).Run()) }
