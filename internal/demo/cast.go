package demo

import (
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/ledger"
)

// people are the persons of the demo. The first ones have a wallet in EUR, too.
var people = []string{
	"Amara Okafor", "Ben Fischer", "Chloé Dubois", "Daniel Kim", "Elif Yılmaz", "Farah Haddad", "Gustav Lindqvist", "Hana Sato",
	"Ivan Petrov", "Julia Nowak", "Kofi Mensah", "Lucía Fernández", "Mateo Rossi", "Nadia Rahman", "Oskar Jensen", "Priya Sharma",
	"Quentin Moreau", "Rosa Oliveira", "Samuel Cohen", "Tuva Haugen", "Umar Farooq", "Vera Ivanova", "Wei Zhang", "Ximena Torres",
	"Yusuf Demir", "Zoë van Dijk", "Aiko Tanaka", "Bruno Costa", "Carmen Ortega", "Dmitri Sokolov", "Emma Johansson", "Felix Wagner",
}

// wallets is how many of them have one in EUR.
const wallets = 8

// A shop sells things at prices from least to most, in cents.
type shop struct {
	name, sells string
	least, most int64
}

var shops = []shop{
	{"Corner Bakery", "bread", 180, 1450},
	{"Daily Grind Coffee", "coffee", 290, 990},
	{"Green Valley Market", "groceries", 640, 9800},
	{"Metro Transit", "ticket", 270, 270},
	{"Paper & Ink Books", "books", 890, 5400},
	{"Luna Pizza", "dinner", 1100, 6200},
	{"Northside Pharmacy", "pharmacy", 450, 4300},
	{"Volt Electronics", "electronics", 1900, 64000},
}

// sellers sell on the marketplace, which holds the buyer's money until they ship.
var sellers = []string{"Attic Antiques", "Handmade by Ines", "Retro Vinyl", "Second Wheel Bikes"}

// The other accounts of the demo.
const (
	employer  = "Brightwater Industries"
	landlord  = "Harbour Housing"
	streaming = "Flick Streaming"
	gym       = "Pulse Gym"
	fund      = "Rainy Day Fund"
	teenager  = "Mia Okafor"
	suspect   = "Quick Cash Ltd"
	audited   = "Old Mill Trading"
	exchange  = "Exchange desk"
)

// A member is an account of the demo, as it is opened.
type member struct {
	name, suffix string // name is shown; name and suffix give the id
	currency     string
	balance      string
	kind         string // for metadata
	policy       ledger.Policy
}

// members returns all accounts that are opened.
func members() []member {
	all := []member{
		{employer, "", "USD", "250000", "employer", ledger.Policy{}},
		{landlord, "", "USD", "12000", "business", ledger.Policy{}},
		{streaming, "", "USD", "0", "business", ledger.Policy{}},
		{gym, "", "USD", "0", "business", ledger.Policy{}},
		{fund, "", "USD", "0", "savings", ledger.Policy{}},
		{exchange, " USD", "USD", "80000", "liquidity", ledger.Policy{}},
		{exchange, " EUR", "EUR", "80000", "liquidity", ledger.Policy{}},
		{teenager, "", "USD", "150", "person", ledger.Policy{
			MaxTransfer: cents(2500), Limits: []ledger.Limit{{Window: 24 * time.Hour, MaxAmount: cents(6000), MaxCount: new(int64(20))}},
		}},
		{suspect, "", "USD", "3400", "business", ledger.Policy{}},
		{audited, "", "USD", "9100", "business", ledger.Policy{
			DebitBlock: &ledger.Block{Reason: "under audit"},
		}},
	}
	for i, name := range people {
		all = append(all, member{name, "", "USD", decimal.NewFromInt(int64(400 + 130*(i%11))).String(), "person", ledger.Policy{}})
		if i < wallets {
			all = append(all, member{name, " EUR", "EUR", decimal.NewFromInt(int64(50 + 20*i)).String(), "person", ledger.Policy{}})
		}
	}
	for i := range shops {
		all = append(all, member{shops[i].name, "", "USD", "500", "shop", ledger.Policy{}})
	}
	for _, name := range sellers {
		all = append(all, member{name, "", "USD", "0", "seller", ledger.Policy{}})
	}
	return all
}

func cents(n int64) *decimal.Decimal { return new(decimal.New(n, -2)) }

// id returns the id that follows from a name, the same in every run of a demo.
func (e *Economy) id(kind, name string) uuid.UUID {
	return uuid.NewSHA1(e.space, []byte(kind+"/"+name))
}

func (e *Economy) account(name string) uuid.UUID { return e.id("account", name) }
