package main

import "github.com/spf13/cobra"

// jobFile is an example with every key that a job file may have; a test parses it.
const jobFile = `schema: gpuai.job/v1
name: train                # of ps and stop
image: pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime
args: [python, src/train.py]  # replaces the image's CMD; command: replaces its ENTRYPOINT
workdir: /workspace
env: {EPOCHS: "3"}         # the provider can read it: no secrets
gpu: {any_of: [rtx-4090, rtx-3090], count: 1, vram: 24GB}  # or: none, any, rtx-4090:2
cpu: 4
memory: 16GiB
disk: 40GiB
shm: 4GiB
egress: web                # none, web or any; never the provider's LAN
inputs:
  - {from: ./src, to: /workspace/src, exclude: ["*.pyc"]}
outputs:
  - {path: /workspace/out, to: ./out, when: always}
limits:
  max_rate: 0.003/h        # SOL per GPU
  max_total: "0.02"        # SOL for all of it
  max_duration: 10h
  start_timeout: 15m
  away: 15m                # paid ahead while your computer sleeps
stop: {signal: TERM, stop_grace: 30s}
placement: {where: "net_down >= 100Mbit/s"}
labels: {project: demo}
`

// newJobFileTopic is a help topic: a command that runs nothing.
func newJobFileTopic(*App) *cobra.Command {
	return &cobra.Command{
		Use: "job-file", Short: "The keys of a job file",
		Long: "A job file is YAML or JSON. Every order flag of gpuai run is one of its keys, and replaces it. Only " +
			"image is needed.\nLocal paths (from, to) begin in the folder of the job file; those of --in and --out " +
			"in the shell's.\n\n" + jobFile,
	}
}
