package api_test

import (
	"os"
	"testing"

	"github.com/gpuai/gpuai/node/api/apitest"
)

// TestMain holds every answer of every test here against the document.
func TestMain(m *testing.M) { os.Exit(apitest.Tests(m).Run()) }
