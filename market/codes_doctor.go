package market

// Codes that doctor finds, beside some of those above.
const (
	CodeSystemUnsupported    Code = "system-unsupported"
	CodeNetIsolated          Code = "net-isolated"
	CodeUDPBlocked           Code = "udp-blocked"
	CodeEpochOld             Code = "epoch-old"
	CodeRelayOnly            Code = "relay-only"
	CodeCarrierNAT           Code = "carrier-nat"
	CodeUnreachable          Code = "unreachable"
	CodeGossipStale          Code = "gossip-stale"
	CodeOfferUnseen          Code = "offer-unseen"
	CodeUDPBufferSmall       Code = "udp-buffer-small"
	CodeDiskSlow             Code = "disk-slow"
	CodeShareTooLarge        Code = "share-too-large"
	CodeEngineError          Code = "engine-error"
	CodeEngineUnsupported    Code = "engine-unsupported"
	CodeRuncOld              Code = "runc-old"
	CodeNoLiveRestore        Code = "no-live-restore"
	CodeNvidiaDefaultRuntime Code = "nvidia-default-runtime"
	CodeGPUNone              Code = "gpu-none"
	CodeGPUUnhealthy         Code = "gpu-unhealthy"
	CodeDriverError          Code = "driver-error"
	CodeOneEndpoint          Code = "one-endpoint"
	CodePayoutEmpty          Code = "payout-empty"
	CodePayoutUnset          Code = "payout-unset"
)

var doctorCodes = []Meaning{
	{Code: CodeSystemUnsupported, Kind: KindConflict,
		Title: "system unsupported",
		Means: "only Linux on x86-64 can sell; other systems can buy",
		Fix:   "sell from a Linux machine"},
	{Code: CodeNetIsolated, Kind: KindConflict,
		Title: "net isolated",
		Means: "nobody can be found: no meeting point of the network answers",
		Fix:   "look at the firewall and at `p2p.bootstrap`"},
	{Code: CodeEpochOld, Kind: KindConflict,
		Title: "epoch old",
		Means: "other nodes split the market over more topics than this program knows: it will soon hear none of them",
		Fix:   "install the newest gpuai, then `gpuai node stop` and `gpuai node start`"},
	{Code: CodeUDPBlocked, Kind: KindConflict,
		Title: "udp blocked",
		Means: "UDP does not get out: connections take longer, and routers are harder to pass",
		Fix:   "let UDP out in the firewall"},
	{Code: CodeRelayOnly, Kind: KindConflict,
		Title: "relay only",
		Means: "others reach this node through a relay only, which limits its speed",
		Fix:   "forward port 4801, UDP and TCP, to this machine in your router"},
	{Code: CodeCarrierNAT, Kind: KindConflict,
		Title: "carrier nat",
		Means: "the internet provider shares one address among many: no port that your router forwards is reached, " +
			"others come through a relay only",
		Fix: "ask the provider for a public IPv4 address, or let IPv6 in: port 4801, UDP and TCP; orders with little " +
			"data work meanwhile"},
	{Code: CodeUnreachable, Kind: KindConflict,
		Title: "unreachable",
		Means: "nobody can reach this node, not even through a relay",
		Fix:   "forward port 4801, UDP and TCP, to this machine in your router"},
	{Code: CodeGossipStale, Kind: KindConflict,
		Title: "gossip stale",
		Means: "the node has peers, and hears no new offers from them: its book grows old",
		Fix: "it looks for other peers by itself; if this stays for an hour, restart the node and look at `gpuai " +
			"net peers`"},
	{Code: CodeOfferUnseen, Kind: KindConflict,
		Title: "offer unseen",
		Means: "the offer is published, but peers cannot find it: most nodes that should keep its announcement do " +
			"not have it",
		Fix: "the node announces again by itself; if this stays, look at `gpuai net check`: others must reach its " +
			"addresses, " +
			"and somebody may crowd out its keys"},
	{Code: CodeUDPBufferSmall, Kind: KindConflict,
		Title: "udp buffer small",
		Means: "the system's limit of UDP buffers is below 7.5 MB: transfers lose packets and slow down",
		Fix:   "`sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000`, and the same in /etc/sysctl.d"},
	{Code: CodeDiskSlow, Kind: KindConflict,
		Title: "disk slow",
		Means: "writes take long to reach the disk; each payment waits for one",
		Fix:   "put `node.data_dir` on another disk"},
	{Code: CodeShareTooLarge, Kind: KindConflict,
		Title: "share too large",
		Means: "more is lent out than this machine has: jobs get less than they pay for",
		Fix:   "lend less: `provider.cores`, `provider.memory`"},
	{Code: CodeEngineError, Kind: KindUnavailable, Fault: FaultProvider,
		Title: "engine error",
		Means: "no container engine answers, or it failed; as the end of a lease: the rig's engine refused a step " +
			"several times",
		Fix: "start Docker, or set `provider.docker_host`"},
	{Code: CodeEngineUnsupported, Kind: KindConflict,
		Title: "engine unsupported",
		Means: "this container engine cannot isolate strangers' jobs",
		Fix:   "install Docker Engine 20.10 or newer for Linux, run by root"},
	{Code: CodeRuncOld, Kind: KindConflict,
		Title: "runc old",
		Means: "this runc lets a job out of its container (CVE-2025-31133, -52565, -52881)",
		Fix: "upgrade runc, or take Docker's own docker-ce and containerd.io: gpuai doctor prints the commands " +
			"for this system"},
	{Code: CodeNoLiveRestore, Kind: KindConflict,
		Title: "no live restore",
		Means: "jobs end when the engine restarts",
		Fix:   `set "live-restore": true in /etc/docker/daemon.json`},
	{Code: CodeNvidiaDefaultRuntime, Kind: KindConflict,
		Title: "nvidia default runtime",
		Means: "an image could take GPUs that its lease does not have",
		Fix:   "set the engine's default runtime to runc"},
	{Code: CodeGPUNone, Kind: KindConflict,
		Title: "gpu none",
		Means: "no GPU was found: only the CPU slot can be sold",
		Fix:   "install the GPU's driver, then look again"},
	{Code: CodeGPUUnhealthy, Kind: KindConflict,
		Title: "gpu unhealthy",
		Means: "a GPU must not run jobs now",
		Fix:   "reset the GPU or restart the machine"},
	{Code: CodeDriverError, Kind: KindConflict,
		Title: "driver error",
		Means: "the GPU driver did not answer",
		Fix:   "restart the machine; then look at its log"},
	{Code: CodeOneEndpoint, Kind: KindConflict,
		Title: "one endpoint",
		Means: "the node trusts a single endpoint",
		Fix:   "`gpuai config set solana.rpc=URL,URL`"},
	{Code: CodePayoutEmpty, Kind: KindConflict,
		Title: "payout empty",
		Means: "the payout account does not exist yet, and what waits for it is below the ledger's minimum " +
			"(0.00089088 SOL)",
		Fix: "sell on: it is paid with the sum that reaches the minimum; or send the account what it lacks"},
	{Code: CodePayoutUnset, Kind: KindConflict,
		Title: "payout unset",
		Means: "no address to be paid at: this machine only buys",
		Fix:   "`gpuai provider setup`"},
}
