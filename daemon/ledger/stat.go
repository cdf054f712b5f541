package ledger

import (
	"io/fs"
	"syscall"
)

func statOf(fi fs.FileInfo) *syscall.Stat_t { return fi.Sys().(*syscall.Stat_t) }

func newStamp(fi fs.FileInfo) stamp {
	st := statOf(fi)
	return stamp{dev: uint64(st.Dev), ino: uint64(st.Ino), size: fi.Size(), mtime: fi.ModTime()}
}
