package localnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// minNode is the oldest major version of Node.js that the SVM's packages load on.
const minNode = 20

const installHint = "npm install --ignore-scripts --no-save in escrow/localnet"

// find returns the folder with server.mjs: the given one and no other, or escrow/localnet of a checkout above the
// working folder, the executable or this source file. A server.mjs elsewhere on the way up is somebody else's and is
// never run.
func find(dir string) (string, error) {
	if dir != "" {
		if !fileExists(filepath.Join(dir, "server.mjs")) {
			return "", needs(dir+" has no server.mjs", "name the folder escrow/localnet of a checkout")
		}
		return dir, nil
	}
	var roots []string
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	if exe, err := os.Executable(); err == nil {
		roots = append(roots, filepath.Dir(exe))
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) { // -trimpath leaves a relative name
		roots = append(roots, filepath.Dir(file))
	}
	for _, d := range roots {
		for {
			c := filepath.Join(d, "escrow", "localnet")
			if fileExists(filepath.Join(c, "server.mjs")) {
				return c, nil
			}
			up := filepath.Dir(d)
			if up == d {
				break
			}
			d = up
		}
	}
	return "", needs("escrow/localnet/server.mjs was not found", "run it in a checkout of the project")
}

// nodeBinary returns Node.js of a usable version: GPUAI_NODE and no other, or the one in PATH, or the one that
// .ci/setup has brought.
func nodeBinary(ctx context.Context) (string, error) {
	tries := []string{"node"}
	if n := os.Getenv("GPUAI_NODE"); n != "" {
		tries = []string{n}
	} else if c, err := os.UserCacheDir(); err == nil {
		tries = append(tries, filepath.Join(c, "gpuai", "node", "bin", "node"))
	}
	var found []string
	for _, n := range tries {
		path, err := exec.LookPath(n)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if ctx.Err() != nil {
			return "", fmt.Errorf("ask %s for its version: %w", path, ctx.Err())
		}
		version := strings.TrimSpace(string(out))
		major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
		if m, bad := strconv.Atoi(major); err == nil && bad == nil && m >= minNode {
			return path, nil
		}
		found = append(found, fmt.Sprintf(" (%s is %q)", path, version))
	}
	return "", needs(fmt.Sprintf("Node.js %d or newer was not found%s", minNode, strings.Join(found, "")),
		".ci/setup installs it; GPUAI_NODE names one")
}

func fileExists(p string) bool { _, err := os.Stat(p); return err == nil }

// install brings the pinned packages once. They are made beside and moved into place, so that two processes at a time
// do not meet half of them: the second one's move fails and the first one's packages stand.
func install(ctx context.Context, dir, node string) (err error) {
	modules := filepath.Join(dir, "node_modules")
	ready := func() bool { return fileExists(filepath.Join(modules, "litesvm", "package.json")) }
	if ready() {
		return nil
	}
	tmp, err := os.MkdirTemp(dir, ".install-")
	if err != nil {
		return needs(fmt.Sprintf("its packages are missing and cannot be installed: %v", err), installHint)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(tmp, name), b, 0o644)
		}
		if err != nil {
			return needs(fmt.Sprintf("copy %s: %v", name, err), installHint)
		}
	}
	npm := filepath.Join(filepath.Dir(node), "npm")
	if !fileExists(npm) {
		npm = "npm"
	}
	cmd := exec.CommandContext(ctx, npm, "install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund")
	cmd.Dir = tmp
	// npm starts node by its name
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(node)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return needs(fmt.Sprintf("npm install: %v: %.300s", err, out), installHint)
	}
	made := filepath.Join(tmp, "node_modules")
	if err = os.Rename(made, modules); err != nil && !ready() {
		// What stands there without the SVM is the rest of an interrupted install.
		err = errors.Join(os.RemoveAll(modules), os.Rename(made, modules))
	}
	if err != nil && !ready() {
		return needs(fmt.Sprintf("move the packages into place: %v", err), installHint)
	}
	return nil
}
