package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gpuai/gpuai/market"
)

// habit is what people of other tools type, and what it is here. Both are text; hint may be a command.
type habit struct{ is, hint string }

// notYet are ways to a running job that are not there; what there is instead.
var notYet = habit{
	"ports, ssh and copying to a running job are not there yet",
	"today: gpuai exec -it ID -- sh for a shell; --in and --out for files; gpuai exec ID -- tar -c -C /workspace " +
		"out | tar x for a running job's",
}

// flagHabits are flags of docker run and its like that gpuai run does not have.
var flagHabits = map[string]habit{
	"publish": notYet, "p": notYet, "P": notYet, "publish-all": notYet, "port": notYet, "ports": notYet,
	"expose": notYet,
	"volume": {"a job sees no folder of this machine",
		"--in SRC:/workspace/… copies in before the start, --out /workspace/…:DST brings home at the end"},
	"interactive": {
		"a job has no terminal and no standard input of its own",
		"start it with -d --name NAME, then: gpuai exec -it NAME -- sh",
	},
	"gpus": {"GPUs are asked for by model",
		"--gpu any, --gpu MODEL or --gpu MODEL:N; what there is: gpuai offers"},
	"user": {"a job runs as the USER of its image",
		"build the image with USER, or change users inside the command"},
	"entrypoint": {"no flag replaces an image's ENTRYPOINT",
		"in a job file: command: [sh, -c]; see gpuai help job-file"},
	"cpus":       {"cores are --cpu here", "--cpu 2"},
	"m":          {"memory is --memory here, with a unit of two or three letters", "--memory 4GiB"},
	"shm-size":   {"shared memory is --shm here", "--shm 1GiB"},
	"network":    {"the network is a class here: none, web or any; never the provider's LAN", "--egress web"},
	"env-file":   {"no flag reads a file of variables", "--env NAME=VALUE for each, or env: in a job file"},
	"restart":    {"a job runs once", "run it again; --max-duration bounds it"},
	"privileged": {"no job gets more rights than its sandbox gives", "gpuai help run"},
	"pull":       {"the image is always the registry's own, by its digest", "leave the flag out"},
	"platform":   {"rigs are linux/amd64", "leave the flag out"},
	"hostname":   {"a job has no host name of its choice", "leave the flag out"},
	"file":       {"a job file is a word, not a flag", "gpuai run job.yaml"},
	"follow":     {"run shows the job's output by itself", "leave the flag out; for a job of -d: gpuai logs -f ID"},
	"image":      {"the image is a word, not a flag", "gpuai run --max-total 0.02 IMAGE -- COMMAND"},
	"ssh":        notYet,
	"username":   privateImages, "password": privateImages, "registry-auth": privateImages, "creds": privateImages,
	"registry-login": privateImages,
}

// sameHabits are other names of rows above.
var sameHabits = map[string]string{
	"v": "volume", "mount": "volume", "bind": "volume", "tmpfs": "volume", "volumes-from": "volume", "i": "interactive",
	"t": "interactive", "tty": "interactive",
	"stdin": "interactive", "a": "interactive", "attach": "interactive", "u": "user", "g": "gpus", "gpu-count": "gpus",
	"mem": "m", "ram": "m", "net": "network", "l": "label",
	"cap-add": "privileged", "cap-drop": "privileged", "device": "privileged", "security-opt": "privileged",
	"runtime": "privileged", "ipc": "privileged",
	"pid": "privileged", "ulimit": "privileged", "group-add": "privileged", "add-host": "network", "dns": "network",
	"link": "network", "f": "file", "filename": "file", "spec": "file", "job": "file", "config-file": "file",
}

// privateImages is why an image that needs a login cannot be used.
var privateImages = habit{
	"private images are not there yet: no login is sent to a registry, so a rig cannot pull them",
	"an image that anybody can pull; data and code can come by --in instead",
}

// wordHabits are commands of other tools.
var wordHabits = map[string]habit{
	"ssh": notYet, "scp": notYet, "cp": notYet, "sftp": notYet, "rsync": notYet, "port-forward": notYet,
	"portforward": notYet, "forward": notYet, "port": notYet, "tunnel": notYet, "copy": notYet,
	"rm":      {"nothing is left of a job to remove: it goes with its end", "gpuai stop ID"},
	"kill":    {"a job is killed by stop --now", "gpuai stop --now ID"},
	"images":  {"images stay in their registry; a rig pulls them for a job", "gpuai run --max-total 0.02 IMAGE"},
	"build":   {"images are made elsewhere", "docker build and docker push, then: gpuai run --max-total 0.02 IMAGE"},
	"login":   privateImages,
	"start":   {"an order runs once", "place it again: gpuai run; a node: gpuai node start"},
	"restart": {"an order runs once", "gpuai stop ID; then place it again: gpuai run"},
	"attach": {"a job's output can be followed, a shell opened beside it",
		"follow it: gpuai logs -f ID; a shell: gpuai exec -it ID -- sh"},
	"inspect": {"one order is shown by show", "gpuai show ID"},
	"list":    {"orders are listed by ps", "gpuai ps -a"},
	"top":     {"no command measures a running job", "gpuai exec ID -- nvidia-smi"},
	"apply":   {"a job file is run", "gpuai run job.yaml"},
	"search":  {"what is for rent is listed by offers", "gpuai offers"},
	"balance": {"the spending account is the wallet", "gpuai wallet show"},
	"bill": {"what an order cost is in its receipt; what all cost, in the wallet",
		"one order: gpuai receipt ID; all: gpuai wallet show"},
	"setup": {"a machine is sold by provider setup; a customer needs a wallet",
		"to sell: gpuai provider setup; to rent: gpuai wallet new"},
	"destroy": {"a job ends with stop", "gpuai stop ID"},
}

// sameWords are other names of rows above.
var sameWords = map[string]string{
	"remove": "rm", "delete": "destroy", "down": "destroy", "terminate": "destroy", "cancel": "destroy",
	"end": "destroy", "pull": "images", "push": "build", "image": "images", "unpause": "restart",
	"describe": "inspect", "ls": "list", "get": "list", "jobs": "list", "pods": "list", "orders": "list",
	"instances": "list", "stats": "top", "create": "apply", "up": "apply",
	"launch": "apply", "submit": "apply", "rent": "search", "market": "search", "gpus": "search", "machines": "search",
	"sh": "attach", "shell": "attach", "bash": "attach", "logout": "login", "tail": "attach",
	"cost": "bill", "costs": "bill", "billing": "bill", "invoice": "bill", "price": "search", "prices": "search",
	"deposit": "balance", "funds": "balance", "fund": "balance",
	"money": "balance", "top-up": "balance", "topup": "balance", "account": "balance", "init": "setup", "sell": "setup",
}

// look finds a habit by name or another name.
func look(rows map[string]habit, same map[string]string, name string) (habit, bool) {
	if other, ok := same[name]; ok {
		name = other
	}
	h, ok := rows[name]
	return h, ok
}

var unknownFlag = regexp.MustCompile(`^unknown (?:flag: --([^= ]+)|shorthand flag: '(.)' in -(\S+))`)

// flagFault is the error of a flag that a command does not know, with what people of other tools meant by it.
func flagFault(cmd *cobra.Command, err error) error {
	m := unknownFlag.FindStringSubmatch(err.Error())
	if m == nil {
		return usage(err.Error(), cmd.CommandPath()+" --help")
	}
	name, typed := m[1], "--"+m[1]
	if m[2] != "" {
		name, typed = m[2], "-"+m[3]
	}
	if cmd.Name() == "run" {
		if h, ok := look(flagHabits, sameHabits, name); ok {
			return usage(typed+": "+h.is, h.hint)
		}
	}
	if name == "output" || name == "o" {
		return usage(typed+": documents are printed by --json", cmd.CommandPath()+" --json")
	}
	return usage(err.Error()+nearFlag(cmd, m[1]), cmd.CommandPath()+" --help")
}

// nearFlag names the flag that is nearest to an unknown one.
func nearFlag(cmd *cobra.Command, name string) string {
	if name == "" {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if near := market.Nearest(name, names, 2); near != "" {
		return "; did you mean --" + near + "?"
	}
	return ""
}

// wordFault is the error of a word that is no command, for those who know it from elsewhere.
func wordFault(typed string) error {
	h, ok := look(wordHabits, sameWords, strings.ToLower(typed))
	if !ok {
		return nil
	}
	return usage(typed+" is no command: "+h.is, h.hint)
}
