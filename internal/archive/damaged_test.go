package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"internaltransfers/internal/archive"
)

// TestDamagedFiles: a file that was cut off anywhere, of which any bit was lost, or that goes on
// after its end is none.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	file := sampleLedger(t).file
	whole, err := archive.Read(iotest.OneByteReader(bytes.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(file); at += 17 {
		if _, err := archive.Read(bytes.NewReader(file[:at])); err == nil {
			t.Fatalf("cut off after %d of %d bytes, it was read", at, len(file))
		}
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << (at % 8)
		if read, err := archive.Read(bytes.NewReader(damaged)); err == nil && !reflect.DeepEqual(read, whole) {
			t.Fatalf("with another bit at %d of %d bytes, it was read", at, len(file))
		}
	}
	for name, damaged := range map[string][]byte{
		"text": []byte("no archive\n"), "another member": zipped(t, strings.NewReader("more")),
		"followed by another member": bytes.Join([][]byte{file, zipped(t, strings.NewReader("more"))}, nil),
		"followed by a byte":         append(bytes.Clone(file), 0), "twice": bytes.Join([][]byte{file, file}, nil),
		"zeros inside": zipped(t, io.MultiReader(bytes.NewReader(unpacked(t, file)), bytes.NewReader(make([]byte, 1024)))),
	} {
		if _, err := archive.Read(bytes.NewReader(damaged)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func zipped(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var file bytes.Buffer
	z := gzip.NewWriter(&file)
	if _, err := io.Copy(z, r); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestBombs: what a file unpacks to is never kept, however small the file is.
func TestBombs(t *testing.T) {
	const size = 8 << 20
	for name, text := range map[string]string{
		"zeros": "", "a manifest of 8 GB": header(t, tar.Header{Name: "manifest.json", Size: 8 << 30}),
		"a manifest of 8 MB": header(t, tar.Header{Name: "manifest.json", Size: size}),
		"a name of 8 MB":     header(t, tar.Header{Name: "manifest.json", Size: size, Typeflag: tar.TypeGNULongName}),
		"more about a file":  header(t, tar.Header{Name: "manifest.json", Size: size, Typeflag: tar.TypeXHeader}),
		"a sparse file":      header(t, tar.Header{Name: "manifest.json", Size: size, Typeflag: tar.TypeGNUSparse}),
	} {
		bomb := zipped(t, io.MultiReader(strings.NewReader(text), bytes.NewReader(make([]byte, size))))
		var err error
		used := allocated(func() { _, err = archive.Read(bytes.NewReader(bomb)) })
		if err == nil || used > 6<<20 {
			t.Errorf("%s: %v, and %d bytes were allocated", name, err, used)
		}
	}
}

// header is the header of a member of a tar archive, also of kinds that the library does not write.
func header(t testing.TB, h tar.Header) string {
	t.Helper()
	kind := h.Typeflag
	h.Typeflag = tar.TypeReg
	var text bytes.Buffer
	if err := tar.NewWriter(&text).WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if kind == 0 {
		return text.String()
	}
	block := text.Bytes()
	block[156] = kind
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return string(block)
}

// allocated returns how many bytes f allocates, one after another. Nothing else may run.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
