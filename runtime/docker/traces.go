package docker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"

	"github.com/gpuai/gpuai/runtime/sandbox"
)

// Traces are what nodes leave in an engine by design, for the next job: the helper's image and volume, which all nodes of an engine share,
// and images that were pulled.
type Traces struct{ images, volumes map[string]bool }

// Traces lists what is there now. registries: hosts whose images count, "127.0.0.1:5000".
func (e *Engine) Traces(ctx context.Context, registries ...string) (Traces, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	t := Traces{images: map[string]bool{}, volumes: map[string]bool{}}
	vols, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("name", sandbox.ImageName))})
	if err != nil {
		return t, engineError("list volumes", err)
	}
	for _, v := range vols.Volumes {
		if strings.HasPrefix(v.Name, sandbox.ImageName+"-") {
			t.volumes[v.Name] = true
		}
	}
	images, err := e.api.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return t, engineError("list images", err)
	}
	for _, i := range images {
		for _, name := range append(slices.Clone(i.RepoTags), i.RepoDigests...) {
			ours := strings.HasPrefix(name, sandbox.ImageName+":")
			for _, r := range registries {
				ours = ours || strings.HasPrefix(name, r+"/")
			}
			if ours {
				t.images[name] = true
			}
		}
	}
	return t, nil
}

// Sweep removes what is there now and was not before. A name that a container uses stays and is an error. What another node needs later it
// makes again.
func (e *Engine) Sweep(ctx context.Context, before Traces, registries ...string) error {
	now, err := e.Traces(ctx, registries...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(now.volumes)) {
		if before.volumes[name] {
			continue
		}
		if err := e.api.VolumeRemove(ctx, name, false); err != nil && !notFound(err) {
			errs = append(errs, engineError("remove volume", err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.images)) {
		if before.images[name] {
			continue
		}
		if _, err := e.api.ImageRemove(ctx, name, image.RemoveOptions{}); err != nil && !notFound(err) {
			errs = append(errs, engineError("remove image", err))
		}
	}
	return errors.Join(errs...)
}
