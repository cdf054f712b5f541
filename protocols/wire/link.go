package wire

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A network interface is a link here, as fetchmail(1) has it in mind: something that is dialed up and goes down again.

// LinkRefused tells why a link is not what the option interface asks for, "name/address[/mask]" with IPv4 addresses in
// the forms of inet_aton(3): "down", or "IP address excluded" if neither end of it has a matching address. It is "" if
// the link is right.
func LinkRefused(spec string) string {
	parts := strings.SplitN(spec, "/", 3)
	link, err := net.InterfaceByName(parts[0])
	const up = net.FlagUp | net.FlagRunning
	if err != nil || link.Flags&up != up {
		return "down"
	}
	addrs := linkAddresses(link)
	if len(addrs) == 0 {
		return "down"
	}
	want, mask := uint32(0), ^uint32(0)
	if len(parts) > 1 {
		want = inetAton(parts[1])
	}
	if len(parts) > 2 {
		mask = inetAton(parts[2])
	}
	if slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		octets := a.As4()
		return binary.BigEndian.Uint32(octets[:])&mask == want&mask
	}) {
		return ""
	}
	return "IP address excluded"
}

// inetAton reads an IPv4 address: up to four numbers, the last of which fills what is left. What follows a blank is
// ignored. What is no address is 0.0.0.0.
func inetAton(s string) (addr uint32) {
	s, _, _ = strings.Cut(s, " ")
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return 0
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		width := 8
		if i == len(parts)-1 {
			width = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<width {
			return 0
		}
		addr = uint32(uint64(addr)<<width | n)
	}
	return addr
}

// linkAddresses are the IPv4 addresses of both ends of a link.
func linkAddresses(link *net.Interface) (list []netip.Addr) {
	addrs, _ := link.Addrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			list = append(list, p.Addr())
		}
	}
	if far, ok := farEnd(link.Name); ok && len(list) > 0 {
		list = append(list, far)
	}
	return list
}

// LinkPackets counts the packets that have gone through a link since it exists; up is false if it is not there or
// down, or if this system does not tell.
func LinkPackets(name string) (packets uint64, up bool) {
	link, err := net.InterfaceByName(name)
	if err != nil || link.Flags&net.FlagUp == 0 || link.Flags&net.FlagRunning == 0 {
		return 0, false
	}
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return 0, false
	}
	return packetsOf(string(text), name)
}

// packetsOf reads proc(5), /proc/net/dev: received bytes and packets, six other numbers, transmitted bytes and packets.
func packetsOf(text, name string) (packets uint64, ok bool) {
	for line := range strings.Lines(text) {
		who, numbers, _ := strings.Cut(line, ":")
		fields := strings.Fields(numbers)
		if strings.TrimSpace(who) != name || len(fields) < 10 {
			continue
		}
		in, err1 := strconv.ParseUint(fields[1], 10, 64)
		out, err2 := strconv.ParseUint(fields[9], 10, 64)
		return in + out, err1 == nil && err2 == nil
	}
	return 0, false
}
