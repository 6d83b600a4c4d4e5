package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
)

// exitUsage is the exit status when the command line, or a variable in its place, is wrong.
// Everything else that fails is 1.
const exitUsage = 2

// valueMax bounds the part of a wrong value that an error shows, in bytes.
const valueMax = 100

// An optionError describes what is wrong with an option, by the names of its flag and its variable.
type optionError struct{ text string }

func (e *optionError) Error() string { return e.text }

// optionNames returns the names of the option that a variable stands for: --db-read-conns
// (DB_READ_CONNS).
func optionNames(variable string) string { return "--" + flagOf(variable) + " (" + variable + ")" }

// flagOf returns the flag that has a variable's name.
func flagOf(variable string) string {
	return strings.ReplaceAll(strings.ToLower(variable), "_", "-")
}

// within fails when a value is out of range.
func within[T cmp.Ordered](variable string, value, from, to T) error {
	if value >= from && value <= to {
		return nil
	}
	return &optionError{fmt.Sprintf("%s must be %v to %v, not %v", optionNames(variable), from, to, value)}
}

// parse reads the command line and the variables. An error is one line of text.
func parse(ctx context.Context, args []string) (*kong.Context, error) {
	options := append(mappers(),
		kong.Name("internaltransfers"),
		kong.Description("A ledger for transfers between accounts, on Postgres. The exit status is 0, 2 when an option is wrong or check could not judge the ledger, else 1."),
		kong.Vars{"version": thisBuild().String()},
		kong.Resolvers(kong.ResolverFunc(readVariable)),
		kong.BindTo(ctx, (*context.Context)(nil)))
	parser, err := kong.New(&cli{}, options...)
	if err != nil {
		return nil, err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return nil, explain(err)
	}
	return command, nil
}

// Passwords that a text may have: in a URL, and in a connection string of keywords.
var (
	urlPassword     = regexp.MustCompile(`://.*@`)
	keywordPassword = regexp.MustCompile(`(?i)(password\s*=\s*)(?:'[^']*'?|\S*)`)
)

// hidePasswords returns a text from the user, perhaps given in the wrong place, as an error may
// show it: errors are logged.
func hidePasswords(text string) string {
	return keywordPassword.ReplaceAllString(urlPassword.ReplaceAllString(text, "://…@"), "$1…")
}

// explain makes an error of Parse one line with where to read more.
func explain(err error) error {
	text, help := hidePasswords(err.Error()), "internaltransfers"
	if own, ok := errors.AsType[*optionError](err); ok {
		text = own.text
	}
	parsing, ok := errors.AsType[*kong.ParseError](err)
	if ok && parsing.Context != nil && parsing.Context.Selected() != nil {
		help = parsing.Context.Selected().FullPath()
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	return fmt.Errorf("%s; see %s --help", text, help)
}

// mappers read the values of options. Kong's own do not name the variable.
func mappers() []kong.Option {
	const number, duration = "a whole number", "a duration such as 500ms, 30s or 10m"
	return []kong.Option{
		kong.KindMapper(reflect.Bool, kong.MapperFunc(readBool)),
		kong.KindMapper(reflect.String, kong.MapperFunc(readString)),
		kong.KindMapper(reflect.Int, reads(number, strconv.Atoi)),
		kong.KindMapper(reflect.Int32, reads(number, func(text string) (int32, error) {
			n, err := strconv.ParseInt(text, 10, 32)
			return int32(n), err
		})),
		kong.KindMapper(reflect.Float64, reads("a number", func(text string) (float64, error) {
			return strconv.ParseFloat(text, 64)
		})),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), reads(duration, time.ParseDuration)),
		kong.TypeMapper(reflect.TypeFor[slog.Level](), reads("debug, info, warn or error", func(text string) (l slog.Level, err error) {
			return l, l.UnmarshalText([]byte(text))
		})),
		kong.TypeMapper(reflect.TypeFor[[]string](), reads("a list with commas", list(func(text string) (string, error) {
			return text, nil
		}))),
		kong.TypeMapper(reflect.TypeFor[[]int](), reads("whole numbers with commas", list(strconv.Atoi))),
	}
}

// list reads a list with the function for one item. An empty text is an empty list.
func list[T any](one func(string) (T, error)) func(string) ([]T, error) {
	return func(text string) (all []T, err error) {
		if text == "" {
			return nil, nil
		}
		for part := range strings.SplitSeq(text, ",") {
			value, err := one(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
		return all, nil
	}
}

// reads makes a mapper from a description of the value and a function that reads it.
func reads[T any](wanted string, read func(string) (T, error)) kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		text, err := value(ctx, wanted)
		if err != nil {
			return err
		}
		v, err := read(text)
		if err != nil {
			return wrong(ctx.Value, wanted, text)
		}
		if target.Kind() == reflect.Slice { // an option that is given twice adds to its list
			target.Set(reflect.AppendSlice(target, reflect.ValueOf(v)))
		} else {
			target.Set(reflect.ValueOf(v).Convert(target.Type()))
		}
		return nil
	})
}

func readString(ctx *kong.DecodeContext, target reflect.Value) error {
	wanted, known := "a text", ctx.Value.EnumSlice()
	if ctx.Value.Enum != "" {
		wanted = strings.Join(known, ", ")
	}
	text, err := value(ctx, wanted)
	if err != nil {
		return err
	}
	if ctx.Value.Enum != "" && !slices.Contains(known, text) {
		return wrong(ctx.Value, "one of "+wanted, text)
	}
	target.SetString(text)
	return nil
}

// readBool reads a flag without a value, which is yes, or with one.
func readBool(ctx *kong.DecodeContext, target reflect.Value) error {
	on := any(true)
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		on = ctx.Scan.Pop().Value
	}
	switch text := fmt.Sprint(on); strings.ToLower(text) {
	case "true", "1", "yes":
		target.SetBool(true)
	case "false", "0", "no":
		target.SetBool(false)
	default:
		return wrong(ctx.Value, "true, 1, yes, false, 0 or no", text)
	}
	return nil
}

// value returns the text that follows an option.
func value(ctx *kong.DecodeContext, wanted string) (string, error) {
	token, err := ctx.Scan.PopValue(wanted)
	if err != nil {
		return "", &optionError{namesOf(ctx.Value) + " needs a value: " + wanted}
	}
	return token.String(), nil
}

func wrong(v *kong.Value, wanted, text string) error {
	if len(text) > valueMax {
		text = strings.ToValidUTF8(text[:valueMax], "") + "…"
	}
	return &optionError{fmt.Sprintf("%s must be %s, not %q", namesOf(v), wanted, hidePasswords(text))}
}

// namesOf returns the names of an option.
func namesOf(v *kong.Value) string {
	names := v.ShortSummary()
	if len(v.Tag.Envs) > 0 {
		names += " (" + v.Tag.Envs[0] + ")"
	}
	return names
}

// readVariable returns the value of an option's variable NAME, or for a secret that of the file
// that NAME_FILE names. It is called for options that the command line does not have.
func readVariable(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		value, set := os.LookupEnv(name)
		file := ""
		if flag.Tag.Has("secret") {
			file = os.Getenv(name + "_FILE")
		}
		switch {
		case file == "" && set:
			return value, nil
		case file == "":
			continue
		case value != "":
			return nil, &optionError{fmt.Sprintf("%s: both %s and %s_FILE are set; set one of them", namesOf(flag.Value), name, name)}
		}
		content, err := os.ReadFile(file)
		text := strings.TrimSpace(string(content))
		switch {
		case err != nil:
			return nil, &optionError{fmt.Sprintf("%s: %s_FILE: %s", namesOf(flag.Value), name, hidePasswords(err.Error()))}
		case text == "":
			return nil, &optionError{fmt.Sprintf("%s: %s_FILE: the file %s is empty", namesOf(flag.Value), name, hidePasswords(file))}
		}
		return text, nil
	}
	return nil, nil
}
