package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"enid/metadata"
)

// mountPoints are where a config drive is found mounted: at the first by the example in Nova's user guide ("Config
// drives") and by those who followed it, at the other by CoreOS and its heirs. cloud-init mounts it for a moment only.
var mountPoints = []string{"/mnt/config", "/media/configdrive"}

// maxFile is the most that is read of a file, in bytes. It is what a service may answer.
const maxFile = 1 << 20

// drive is the folder where a config drive is mounted. Nova writes it once, before the instance boots.
type drive string

// get is what the service would answer to a path. An error matches metadata.ErrNotFound where the drive has no such
// file.
func (d drive) get(_ context.Context, path string) (string, error) {
	if path == localPath {
		return d.local()
	}
	return d.read(path)
}

// local is the first fixed address, which on a drive is in one document with the rest of EC2's tree.
func (d drive) local() (string, error) {
	const path = "ec2/latest/meta-data.json"
	body, err := d.read(path)
	if err != nil {
		return "", err
	}
	var ec2 struct {
		LocalIPv4 string `json:"local-ipv4"`
	}
	if err := json.Unmarshal([]byte(body), &ec2); err != nil {
		return "", fmt.Errorf("config drive %s: %w", d, &metadata.BadAnswerError{Path: path, Err: err})
	}
	return ec2.LocalIPv4, nil
}

func (d drive) read(path string) (string, error) {
	body, err := d.whole(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w; mount the config drive there", metadata.ErrNotFound, err)
	}
	if err != nil {
		return "", fmt.Errorf("config drive %s: %w", d, err)
	}
	return body, nil
}

// whole is a regular file that is not too long: to open anything else could wait for ever.
func (d drive) whole(path string) (string, error) {
	name := filepath.Join(string(d), path)
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	body, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(body) > maxFile {
		return "", fmt.Errorf("%s has more than %d bytes; that is no metadata", name, maxFile)
	}
	return string(body), nil
}
