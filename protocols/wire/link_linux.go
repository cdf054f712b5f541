package wire

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// farEnd is the address of the other end of a point-to-point link: netdevice(7), SIOCGIFDSTADDR.
func farEnd(name string) (netip.Addr, bool) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, false
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFDSTADDR, req)
	}
	if err != nil {
		return netip.Addr{}, false
	}
	octets, err := req.Inet4Addr()
	addr, ok := netip.AddrFromSlice(octets)
	return addr, ok && err == nil
}
