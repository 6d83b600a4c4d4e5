package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"syscall"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A body is read whole before a handler sees it, and before it is decompressed: what has come so
// far takes as much memory here as its sender had to send.

// bodies reads the bodies of requests.
type bodies struct {
	memory *budget
	kinds  map[string]bodyKind // by procedure
}

// A bodyKind is what is known of the requests of a procedure.
type bodyKind struct {
	max     int // bytes, uncompressed
	message protoreflect.MessageDescriptor
	fewest  int // items that fill one of its lists or maps
}

// newBodies knows the procedures of the services. most is the limit of the largest requests.
func newBodies(memory *budget, most int, services ...string) (*bodies, error) {
	b := &bodies{memory: memory, kinds: map[string]bodyKind{}}
	for _, name := range services {
		descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		methods := descriptor.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			b.kinds["/"+name+"/"+string(method.Name())] = bodyKind{
				max: bodyMaxOf(method.Input(), most), message: method.Input(), fewest: fewestItems(method.Input()),
			}
		}
	}
	return b, nil
}

// limit makes handlers refuse larger messages that are no bodies, such as those in a URL.
func (b *bodies) limit() connect.HandlerOption {
	return connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
		kind, ok := b.kinds[spec.Procedure]
		if !ok {
			kind.max = bodyMax
		}
		return []connect.HandlerOption{connect.WithReadMaxBytes(kind.max)}
	})
}

// prepare reads the bodies of RPCs, and gives them to the handler uncompressed.
func (b *bodies) prepare(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, known := b.kinds[r.URL.Path]
		form, takes := formOf(r)
		if !known || !takes || r.Method != http.MethodPost || r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		held := &share{of: b.memory}
		defer held.release()
		read := whole
		if form.enveloped {
			read = first
		}
		if err := read(r, kind, form, held); err != nil {
			refuse(w, r, refusedBody(r, err, kind.max))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// A bodyForm is how the body of a request is encoded.
type bodyForm struct {
	inJSON    bool
	enveloped bool   // each message has a length before it
	encoding  string // the header that names the compression
}

// bodyForms are those that the handlers take, by media type.
var bodyForms = map[string]bodyForm{
	"application/json":           {true, false, "Content-Encoding"},
	"application/proto":          {false, false, "Content-Encoding"},
	"application/connect+json":   {true, true, "Connect-Content-Encoding"},
	"application/connect+proto":  {false, true, "Connect-Content-Encoding"},
	"application/grpc":           {false, true, "Grpc-Encoding"},
	"application/grpc+proto":     {false, true, "Grpc-Encoding"},
	"application/grpc+json":      {true, true, "Grpc-Encoding"},
	"application/grpc-web":       {false, true, "Grpc-Encoding"},
	"application/grpc-web+proto": {false, true, "Grpc-Encoding"},
	"application/grpc-web+json":  {true, true, "Grpc-Encoding"},
}

// formOf finds the form of a request. Requests of another form are refused by the handlers, which
// do not read them.
func formOf(r *http.Request) (bodyForm, bool) {
	contentType := r.Header.Get("Content-Type")
	form, ok := bodyForms[contentType]
	if !ok {
		if media, _, err := mime.ParseMediaType(contentType); err == nil {
			form, ok = bodyForms[media]
		}
	}
	return form, ok
}

// whole reads a body that is one message.
func whole(r *http.Request, kind bodyKind, form bodyForm, held *share) error {
	encoding := r.Header.Get(form.encoding)
	if encoding != "" && encoding != "identity" && encoding != "gzip" {
		return nil // the handler refuses it before it reads anything
	}
	data, err := held.readRequest(r, kind.max)
	if err != nil {
		return err
	}
	if encoding == "gzip" && len(data) > 0 {
		plain, err := held.unzip(data, kind.max)
		switch {
		case errors.Is(err, errTooLarge) || errors.Is(err, errMemoryBusy):
			return err
		case err != nil: // the handler finds the same, and refuses it
			setBody(r, bytes.NewReader(data), int64(len(data)))
			return nil
		}
		data = plain
		r.Header.Del(form.encoding)
	}
	setBody(r, bytes.NewReader(data), int64(len(data)))
	return kind.check(data, form.inJSON, held)
}

const (
	envelopeHead       = 5 // one byte of flags, four of length
	envelopeCompressed = 1 // a flag
)

// first reads the first message of a stream. More than that is an error for the handler that reads
// on.
func first(r *http.Request, kind bodyKind, form bodyForm, held *share) error {
	var head [envelopeHead]byte
	n, err := io.ReadFull(r.Body, head[:])
	if err != nil {
		return leftToHandler(r, head[:n], err)
	}
	size := binary.BigEndian.Uint32(head[1:])
	if uint64(size) > uint64(kind.max) {
		return errTooLarge
	}
	data, err := held.read(io.LimitReader(r.Body, int64(size)), int(size), 0)
	if err != nil || len(data) < int(size) {
		return leftToHandler(r, append(head[:], data...), err)
	}
	if head[0] == envelopeCompressed && r.Header.Get(form.encoding) == "gzip" && size > 0 {
		plain, err := held.unzip(data, kind.max)
		switch {
		case errors.Is(err, errTooLarge) || errors.Is(err, errMemoryBusy):
			return err
		case err == nil:
			data, head[0] = plain, 0
			binary.BigEndian.PutUint32(head[1:], uint32(len(plain))) //nolint:gosec // at most kind.max, an int32
		default: // the handler finds the same, and refuses it
		}
	}
	setBody(r, io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(data), noMore{r.Body}), -1)
	if head[0] != 0 {
		return nil
	}
	return kind.check(data, form.inJSON, held)
}

// leftToHandler gives a body that ends too soon to the handler, which refuses it. It returns the
// error when the body ended for another reason.
func leftToHandler(r *http.Request, came []byte, err error) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	setBody(r, bytes.NewReader(came), -1)
	return nil
}

// noMore is the end of a stream that may have no more messages.
type noMore struct{ rest io.Reader }

// Read implements io.Reader.
func (n noMore) Read(p []byte) (int, error) {
	count, err := n.rest.Read(p)
	if count > 0 {
		return 0, newError(connect.CodeUnimplemented, errors.New("a request has one message"), info("MORE_THAN_ONE_MESSAGE", nil))
	}
	return 0, err
}

// setBody replaces the body of a request. The server still closes the one that came.
func setBody(r *http.Request, body io.Reader, size int64) {
	r.Body = io.NopCloser(body)
	r.ContentLength = size
	r.Header.Del("Content-Length")
	if size >= 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	}
}

// readRequest reads the body of a request as it came.
func (s *share) readRequest(r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, errTooLarge
	}
	return s.read(r.Body, limit, 0)
}

// unzip decompresses what was read, to at most limit bytes.
func (s *share) unzip(zipped []byte, limit int) ([]byte, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	plain, err := s.read(unzip, limit, int64(cap(zipped)))
	if broken, ok := errors.AsType[*readError](err); ok {
		return nil, broken.cause // it came, and is no gzip
	}
	return plain, err
}

const (
	itemBytes  = 64 // what an item, a pair or a field in JSON takes as a message, about
	protoBytes = 8  // what a byte of the binary form takes
)

// check refuses a message with too many items, and makes room for it. The decoders check the same,
// but where Connect calls them their errors lose the details.
func (k bodyKind) check(data []byte, inJSON bool, held *share) error {
	if !inJSON {
		if err := checkBounds(data, k.message, protoDepthMax); err != nil {
			return err
		}
		return held.resize(protoBytes * int64(len(data)))
	}
	return checkJSON(data, planOf(k.message), k.fewest, held)
}

// checkJSON is check for JSON, which has more commas than fewest before a list or a map has too
// many items.
func checkJSON(data []byte, plan *jsonPlan, fewest int, held *share) error {
	commas := bytes.Count(data, []byte{','})
	if commas >= fewest {
		if err := checkJSONBounds(data, plan); err != nil {
			return err
		}
	}
	items := commas + bytes.Count(data, []byte{'{'}) + bytes.Count(data, []byte{'['})
	return held.resize(2*int64(len(data)) + itemBytes*int64(items))
}

// refusedBody returns the error for a body that a handler does not see. A caller that broke off is
// gone, as one that closed its tab.
func refusedBody(r *http.Request, err error, limit int) *restError {
	broken, ok := errors.AsType[*readError](err)
	if ok && !errors.Is(broken, os.ErrDeadlineExceeded) && (r.Context().Err() != nil || errors.Is(broken, io.ErrUnexpectedEOF) || errors.Is(broken, syscall.ECONNRESET)) {
		gone := connectError(context.Canceled)
		return &restError{status: httpStatus(gone.Code()), err: gone}
	}
	return bodyError(err, limit)
}

// bodyError returns the error for a body that could not be read.
func bodyError(err error, limit int) *restError {
	switch {
	case errors.Is(err, errMemoryBusy):
		return memoryBusy()
	case errors.Is(err, errTooLarge):
		return restRefusal(http.StatusRequestEntityTooLarge, connect.CodeResourceExhausted, "BODY_TOO_LARGE",
			"the body is larger than %d bytes", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return restRefusal(http.StatusRequestTimeout, connect.CodeDeadlineExceeded, "BODY_TOO_SLOW", "the body did not come in time")
	case asInvalid(err) != nil:
		return &restError{status: http.StatusBadRequest, err: connectError(err)}
	default:
		return restRefusal(http.StatusBadRequest, connect.CodeInvalidArgument, "BODY_UNREADABLE", "the body could not be read")
	}
}
