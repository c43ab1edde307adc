package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/runtime/job"
)

// maxStats bounds the engine's answer.
const maxStats = 1 << 20

// Usage reads what a job's container takes at the moment. Errors: the engine's; the job has no container that runs.
func (ac *access) Usage(ctx context.Context, k job.Key) (job.Usage, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	answer, err := ac.api.ContainerStatsOneShot(ctx, ac.name(k, "job"))
	if err != nil {
		return job.Usage{}, engineError("read usage", err)
	}
	defer answer.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxStats)).Decode(&s); err != nil {
		return job.Usage{}, fmt.Errorf("read usage: %w", err)
	}
	if s.MemoryStats.Usage == 0 {
		return job.Usage{}, fmt.Errorf("read usage: the job does not run")
	}
	// Version 1 of cgroups counts the droppable cache as total_inactive_file, version 2 as inactive_file.
	cache, ok := s.MemoryStats.Stats["total_inactive_file"]
	if !ok {
		cache = s.MemoryStats.Stats["inactive_file"]
	}
	return job.Usage{CPU: time.Duration(s.CPUStats.CPUUsage.TotalUsage),
		Memory: s.MemoryStats.Usage - min(cache, s.MemoryStats.Usage)}, nil
}
