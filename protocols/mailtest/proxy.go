package mailtest

import (
	"net"
	"sync"
	"time"
)

// Proxy stands between a client and a server on loopback: it counts round trips, and can make them long. The exported
// fields are set before Start.
type Proxy struct {
	Target string        // host:port of the server
	Delay  time.Duration // one way, in both directions: a round trip takes twice as long

	listener net.Listener
	mu       sync.Mutex
	turns    int
	heard    bool // the server has spoken since the client did
	conns    []net.Conn
	wg       sync.WaitGroup
}

// Start listens on a free port of 127.0.0.1.
func (p *Proxy) Start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.listener = l
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.join(c)
		}
	})
	return nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() *net.TCPAddr { return p.listener.Addr().(*net.TCPAddr) }

// Turns is how often a client has spoken after the server had: the round trips so far, in all connections.
func (p *Proxy) Turns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns
}

// Cut breaks all connections that are open now.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Close ends all connections.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) join(client net.Conn) {
	server, err := net.Dial("tcp", p.Target)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	p.pass(server, client, func() {
		if p.heard {
			p.turns++
		}
		p.heard = false
	})
	p.pass(client, server, func() { p.heard = true })
}

// pass copies what from sends to to, each piece Delay later; pieces do not wait for each other.
func (p *Proxy) pass(to, from net.Conn, seen func()) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1024)
	p.wg.Go(func() {
		defer close(pieces)
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				p.mu.Lock()
				seen()
				p.mu.Unlock()
				pieces <- piece{time.Now().Add(p.Delay), append([]byte(nil), buf[:n]...)}
			}
			if err != nil {
				return
			}
		}
	})
	p.wg.Go(func() {
		defer to.Close()
		defer func() {
			for range pieces {
			}
		}()
		for x := range pieces {
			time.Sleep(time.Until(x.due))
			if _, err := to.Write(x.data); err != nil {
				from.Close()
				return
			}
		}
	})
}
