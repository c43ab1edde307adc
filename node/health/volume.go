package health

// FreeDisk is what is free for this user on the file system of dir, in bytes. Error: it cannot be measured, or not on
// this system.
func FreeDisk(dir string) (uint64, error) {
	v, err := volumeOf(dir)
	return v.free, err
}
