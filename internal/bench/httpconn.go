package bench

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
)

// An httpConn is one caller's HTTP/1.1 connection, an http.RoundTripper in essence: it lets the
// generated client do calls one after the other. net/http's transport serves any number of callers,
// for which it hands each request to goroutines of its connections; a caller that has its own
// connection needs none of that. What the load generator does not use of the shared cores is left
// to the server, as it would be if it ran elsewhere.
//
// It is not for concurrent use, and knows no redirects, proxies, cookies or TLS.
type httpConn struct {
	address string // host:port
	conn    net.Conn
	closed  func() bool // undoes the watch on the context that conn was dialed with
	reader  *bufio.Reader
	out     bytes.Buffer
	body    responseBody
}

// Do sends the request and reads the response's header. Its body must be closed before the next
// call.
func (c *httpConn) Do(request *http.Request) (*http.Response, error) {
	if c.conn == nil || c.body.Reader != nil {
		c.close() // with a response half read, the connection is of no more use
		if err := c.dial(request.Context()); err != nil {
			return nil, err
		}
	}
	if err := c.write(request); err != nil {
		c.close()
		return nil, err
	}
	response, err := http.ReadResponse(c.reader, request)
	if err != nil {
		c.close()
		return nil, err
	}
	c.body = responseBody{ReadCloser: response.Body, Reader: response.Body, conn: c, last: response.Close}
	response.Body = &c.body
	return response, nil
}

func (c *httpConn) dial(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.conn = conn
	// The end of the leg wakes a caller that waits for a response.
	c.closed = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if c.reader == nil {
		c.reader = bufio.NewReader(conn)
	} else {
		c.reader.Reset(conn)
	}
	return nil
}

// write sends header and body in one packet.
func (c *httpConn) write(request *http.Request) error {
	c.out.Reset()
	c.out.WriteString(request.Method)
	c.out.WriteByte(' ')
	c.out.WriteString(request.URL.RequestURI())
	c.out.WriteString(" HTTP/1.1\r\nHost: ")
	c.out.WriteString(c.address)
	c.out.WriteString("\r\n")
	for name, values := range request.Header {
		for _, value := range values {
			c.out.WriteString(name)
			c.out.WriteString(": ")
			c.out.WriteString(value)
			c.out.WriteString("\r\n")
		}
	}
	if request.ContentLength > 0 {
		c.out.WriteString("Content-Length: ")
		c.out.Write(strconv.AppendInt(c.out.AvailableBuffer(), request.ContentLength, 10))
		c.out.WriteString("\r\n")
	} else if request.Method == http.MethodPost {
		c.out.WriteString("Content-Length: 0\r\n")
	}
	c.out.WriteString("\r\n")
	if request.Body != nil {
		_, err := c.out.ReadFrom(request.Body)
		_ = request.Body.Close() // it was in memory
		if err != nil {
			return err
		}
	}
	_, err := c.conn.Write(c.out.Bytes())
	return err
}

func (c *httpConn) close() {
	if c.conn == nil {
		return
	}
	c.closed()
	_ = c.conn.Close() // its calls have returned or were given up
	c.conn = nil
	c.body = responseBody{}
}

// A responseBody frees its connection for the next request when it is closed.
type responseBody struct {
	io.ReadCloser
	io.Reader // the same; nil when no response is under way
	conn      *httpConn
	last      bool // the server will close the connection
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.Reader == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

// Close reads the rest of the response.
func (b *responseBody) Close() error {
	if b.Reader == nil {
		return nil
	}
	b.Reader = nil
	err := b.ReadCloser.Close()
	if err != nil || b.last {
		b.conn.close()
	}
	return err
}
