package docker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/gpuai/gpuai/runtime/sandbox"
)

// Traces are what nodes leave in an engine by design, for the next job: the helper's image and volume, which all nodes
// of an engine share, and images that were pulled.
type Traces struct{ images, volumes map[string]bool }

// traces finds and removes what nodes leave in an engine.
type traces struct{ api *client.Client }

// Traces lists what is there now. registries: hosts whose images count, "127.0.0.1:5000".
func (ts *traces) Traces(ctx context.Context, registries ...string) (Traces, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	t := Traces{images: map[string]bool{}, volumes: map[string]bool{}}
	vols, err := ts.api.VolumeList(ctx,
		volume.ListOptions{Filters: filters.NewArgs(filters.Arg("name", sandbox.ImageName))})
	if err != nil {
		return t, engineError("list volumes", err)
	}
	for _, v := range vols.Volumes {
		if strings.HasPrefix(v.Name, sandbox.ImageName+"-") {
			t.volumes[v.Name] = true
		}
	}
	images, err := ts.api.ImageList(ctx, image.ListOptions{})
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

// Sweep removes what is there now and was not before. The helper stays while another node's container uses it, and is
// made again by a node that needs it later; an image of a registry that is in use is an error.
func (ts *traces) Sweep(ctx context.Context, before Traces, registries ...string) error {
	now, err := ts.Traces(ctx, registries...)
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
		if err := ts.api.VolumeRemove(ctx, name, false); err != nil && !notFound(err) && !cerrdefs.IsConflict(err) {
			errs = append(errs, engineError("remove volume", err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.images)) {
		if before.images[name] {
			continue
		}
		_, err := ts.api.ImageRemove(ctx, name, image.RemoveOptions{})
		if cerrdefs.IsConflict(err) && strings.HasPrefix(name, sandbox.ImageName+":") {
			continue
		}
		if err != nil && !notFound(err) {
			errs = append(errs, engineError("remove image", err))
		}
	}
	return errors.Join(errs...)
}

// Objects lists the containers of any state, then volumes, then networks that are named for a node: the last 8
// characters of its id.
func (ts *traces) Objects(ctx context.Context, peer8 string) (out []string, err error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	name := "gpuai-" + peer8
	add := func(kind, n string) {
		if n == name || strings.HasPrefix(n, name+"-") {
			out = append(out, kind+" "+n)
		}
	}
	like := filters.NewArgs(filters.Arg("name", name))
	containers, err := ts.api.ContainerList(ctx, container.ListOptions{All: true, Filters: like})
	if err != nil {
		return nil, engineError("list containers", err)
	}
	for _, c := range containers {
		for _, n := range c.Names {
			add("container", strings.TrimPrefix(n, "/"))
		}
	}
	volumes, err := ts.api.VolumeList(ctx, volume.ListOptions{Filters: like})
	if err != nil {
		return nil, engineError("list volumes", err)
	}
	for _, v := range volumes.Volumes {
		add("volume", v.Name)
	}
	networks, err := ts.api.NetworkList(ctx, network.ListOptions{Filters: like})
	if err != nil {
		return nil, engineError("list networks", err)
	}
	for _, n := range networks {
		add("network", n.Name)
	}
	return out, nil
}

// RemoveNode removes all Objects of a node that has ended and whose store is given up: what its leases kept is nobody's
// then.
func (ts *traces) RemoveNode(ctx context.Context, peer8 string) error {
	left, err := ts.Objects(ctx, peer8)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	var errs []error
	for _, o := range left { // containers come first: they hold the others
		kind, name, _ := strings.Cut(o, " ")
		switch kind {
		case "container":
			err = dispose(ctx, ts.api, name)
		case "volume":
			err = ts.api.VolumeRemove(ctx, name, false)
		case "network":
			err = ts.api.NetworkRemove(ctx, name)
		}
		if err != nil && !notFound(err) {
			errs = append(errs, engineError("remove "+kind, err))
		}
	}
	return errors.Join(errs...)
}
