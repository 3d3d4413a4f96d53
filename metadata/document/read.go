package document

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"enid/metadata"
)

// Read reads the document in a regular file. It never waits (a FIFO is an error)
// and never reads more than MaxSize. A file that every user of the host may
// write is refused: its content decides where packets go.
func Read(path string) (Document, error) {
	data, err := readFile(path)
	if err != nil {
		return Document{}, explain(path, err)
	}
	return Parse(path, data)
}

func readFile(path string) ([]byte, error) {
	// Without O_NONBLOCK the open itself would wait for a FIFO's writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a directory; name a file in it")
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("is no regular file (%s); want a file with an interfaces document", info.Mode().Type())
	case info.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("every user of this host may write it (mode %04o); run chmod o-w %s", info.Mode().Perm(), path)
	case info.Size() > MaxSize:
		return nil, fmt.Errorf("has %d bytes; at most %d are read, split it or check that it is the right file", info.Size(), MaxSize)
	}
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

// explain adds what to do to the errors that a file system gives.
func explain(path string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: there is no such file (%w); write it, or correct the path in the configuration", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: may not be read (%w); make it and its directories readable for the user that enid runs as", path, err)
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
}

// LoadDir reads the documents of an overlay directory: the files *.yaml, *.yml and
// *.json in it, by name. A missing directory has none. A bad file costs only
// itself and is a problem with the reason "overlay". Their names begin with
// "overlay ". An ENI may stand in several; metadata.Complete takes each field
// from the first that has it.
func LoadDir(dir string) ([]Document, []metadata.Problem) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []metadata.Problem{overlayProblem(explain(dir, err))}
	}
	var docs []Document
	var problems []metadata.Problem
	for _, e := range entries {
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) || e.Name()[0] == '.' {
			continue
		}
		path := filepath.Join(dir, e.Name())
		d, err := Read(path)
		if err != nil {
			problems = append(problems, overlayProblem(err))
			continue
		}
		d.Name = "overlay " + path
		docs = append(docs, d)
	}
	return docs, problems
}

func overlayProblem(err error) metadata.Problem {
	return metadata.Problem{Reason: "overlay", Text: err.Error()}
}
