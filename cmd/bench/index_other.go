//go:build !unix

package main

import (
	"context"
	"errors"
)

func benchIndex(context.Context, options, *report) error { return errors.New("it needs Unix") }

func benchPublic(context.Context, options, *report) error { return errors.New("it needs Unix") }

func benchRebuild(context.Context, options, *report) error { return errors.New("it needs Unix") }
