// Command shell is a small userland in one static program, for the image that gpuai localnet serves: a newcomer's first
// job needs a shell, and no other tool to make an image with. The name that it is called by says which command it is:
// sh, cat, ls, sleep and so on.
//
// Invariants: static, linux/amd64, reads no file but what its command names. Concurrency and persistence: none.
// Next: Names, cmd/gpuai/images.
package main
