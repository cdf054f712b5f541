package auth

import (
	"encoding/binary"
	"math/bits"
)

// md4 is the digest of RFC 1320, which NTLM makes of a password. It is broken as a digest; that is NTLM's problem.
func md4(data []byte) [16]byte {
	length := uint64(len(data)) * 8
	data = append(data[:len(data):len(data)], 0x80)
	for len(data)%64 != 56 {
		data = append(data, 0)
	}
	data = binary.LittleEndian.AppendUint64(data, length)
	state := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	for ; len(data) > 0; data = data[64:] {
		md4Block(&state, data[:64])
	}
	var sum [16]byte
	for i, word := range state {
		binary.LittleEndian.PutUint32(sum[4*i:], word)
	}
	return sum
}

// md4Rounds are, for each round: the order of the words, the shifts, the constant and the function of RFC 1320,
// section 3.4.
var md4Rounds = [3]struct {
	order  [16]int
	shift  [4]int
	add    uint32
	mixing func(x, y, z uint32) uint32
}{
	{[16]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, [4]int{3, 7, 11, 19}, 0,
		func(x, y, z uint32) uint32 { return x&y | ^x&z }},
	{[16]int{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}, [4]int{3, 5, 9, 13}, 0x5a827999,
		func(x, y, z uint32) uint32 { return x&y | x&z | y&z }},
	{[16]int{0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15}, [4]int{3, 9, 11, 15}, 0x6ed9eba1,
		func(x, y, z uint32) uint32 { return x ^ y ^ z }},
}

func md4Block(state *[4]uint32, block []byte) {
	a, b, c, d := state[0], state[1], state[2], state[3]
	for _, round := range md4Rounds {
		for i, k := range round.order {
			word := binary.LittleEndian.Uint32(block[4*k:])
			mixed := bits.RotateLeft32(a+round.mixing(b, c, d)+word+round.add, round.shift[i%4])
			a, b, c, d = d, mixed, b, c
		}
	}
	state[0], state[1], state[2], state[3] = state[0]+a, state[1]+b, state[2]+c, state[3]+d
}
