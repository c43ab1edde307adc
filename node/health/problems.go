package health

import "slices"

// Problem is a row of the table of what can be wrong. A code is never renamed or used again.
type Problem struct {
	Code   string `json:"code"`
	Level  string `json:"level"`
	Effect string `json:"effect"`
	Title  string `json:"title"`
	Fix    string `json:"fix"`
}

var problems = []Problem{
	{"system-unsupported", Fail, "no-sell", "only Linux on x86-64 can sell; other systems can buy",
		"sell from a Linux machine"},
	{"data-dir-open", Fail, "no-sell", "others can read the data folder, which holds keys", "chmod 700 the folder"},
	{"data-dir-remote", Fail, "no-sell", "the data folder is on a network or shared file system, which loses locks " +
		"and writes", "set node.data_dir to a local disk"},
	{"data-dir-unusable", Fail, "no-sell", "the data folder cannot be made or written",
		"set node.data_dir to a folder of yours"},
	{"disk-slow", Warn, "none", "writes take long to reach the disk; each payment waits for one",
		"put node.data_dir on another disk"},
	{"disk-full", Fail, "no-sell", "too little disk is free for a job", "free some space"},
	{"share-too-large", Warn, "tier", "more is lent out than this machine has: jobs get less than they pay for",
		"lend less: provider.cores, provider.memory"},
	{"net-isolated", Fail, "no-sell", "nobody can be found: no meeting point of the network answers",
		"look at the firewall and at p2p.bootstrap"},
	{"udp-blocked", Warn, "none", "UDP does not get out: connections take longer, and routers are harder to pass",
		"let UDP out in the firewall"},
	{"relay-only", Warn, "tier", "others reach this node through a relay only, which limits its speed",
		"forward port 4801, UDP and TCP, to this machine in your router"},
	{"unreachable", Fail, "no-sell", "nobody can reach this node, not even through a relay",
		"forward port 4801, UDP and TCP, to this machine in your router"},
	{"engine-error", Fail, "no-sell", "no container engine answers", "start Docker, or set provider.docker_host"},
	{"engine-unsupported", Fail, "no-sell", "this container engine cannot isolate strangers' jobs",
		"install Docker Engine 20.10 or newer for Linux, run by root"},
	{"runc-old", Fail, "no-sell", "this runc lets a job out of its container (CVE-2025-31133, -52565, -52881)",
		"upgrade runc, or take Docker's own docker-ce and containerd.io: gpuai doctor prints the commands for " +
			"this system"},
	{"no-live-restore", Warn, "none", "jobs end when the engine restarts",
		`set "live-restore": true in /etc/docker/daemon.json`},
	{"nvidia-default-runtime", Fail, "no-sell", "an image could take GPUs that its lease does not have",
		"set the engine's default runtime to runc"},
	{"gpu-none", Warn, "tier", "no GPU was found: only the CPU slot can be sold",
		"install the GPU's driver, then look again"},
	{"gpu-unhealthy", Fail, "no-sell", "a GPU must not run jobs now", "reset the GPU or restart the machine"},
	{"driver-error", Fail, "no-sell", "the GPU driver did not answer", "restart the machine; then look at its log"},
	{"chain-unreachable", Fail, "no-sell", "no endpoint of the ledger answers", "gpuai config set solana.rpc=URL"},
	{"wrong-ledger", Fail, "no-sell", "the endpoint serves another ledger than the network's",
		"gpuai config set solana.rpc=URL"},
	{"one-endpoint", Warn, "none", "the node trusts a single endpoint", "gpuai config set solana.rpc=URL,URL"},
	{"payout-empty", Warn, "none", "the payout account does not exist yet, and what is earned cannot create it",
		"sell on, or send the sum that it lacks to it"},
	{"payout-unset", Warn, "none", "no address to be paid at: this machine only buys", "gpuai provider setup"},
}

// Problems returns a copy of the table.
func Problems() []Problem { return slices.Clone(problems) }

func lookup(code string) (Problem, bool) {
	i := slices.IndexFunc(problems, func(p Problem) bool { return p.Code == code })
	if i < 0 {
		return Problem{}, false
	}
	return problems[i], true
}
