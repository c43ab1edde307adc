package docker

import (
	"context"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// probeConfig is the job's own profile for the helper's image, so that what is probed is what jobs get.
func (e *Engine) probeConfig(ctx context.Context, p *prepared, arg, network string) (*container.Config, *container.HostConfig, error) {
	plan := job.Plan{Spec: spec.Spec{}, CPUMilli: 1000, RAM: probeMemory, Shm: 16 << 20}
	f, err := e.facts(ctx, plan, p)
	if err != nil {
		return nil, nil, err
	}
	img := &image.InspectResponse{ID: p.tools, Config: &dockerspec.DockerOCIImageConfig{}}
	c, h := jobConfig(plan, img, map[string]string{"gpuai.probe": "1"}, network, p.volume, nil, f)
	c.Entrypoint, c.Cmd = helperArgv("probe"), []string{arg}
	return c, h, nil
}
