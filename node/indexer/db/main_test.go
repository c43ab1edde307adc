package db_test

import (
	"os"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

func TestMain(m *testing.M) {
	if runHelper() {
		return
	}
	os.Exit(dbtest.Run(m))
}
