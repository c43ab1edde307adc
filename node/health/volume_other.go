//go:build !linux

package health

import "errors"

type volume struct {
	free, total uint64
	remote      string
}

func volumeOf(string) (volume, error) { return volume{}, errors.ErrUnsupported }
