//! Health by a script in Argo CD's format: it sees the object as the global `obj` and returns a table with `status` and
//! `message`.
//!
//! A script can reach nothing but that: no file, no network, no clock but the time that it is given, no randomness, no
//! code that it makes itself. Its steps and its memory are bounded; what one step may cost counts with the memory that it
//! could touch. Lua 5.2 is Lua 5.1 with `goto`, which is what Argo CD's interpreter runs; what 5.2 took away is there.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a script may give some types of values, and all others, also those to come, are errors"
)]

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, LuaString, MultiValue, StdLib, Table, Value, VmState};
use serde_json::Value as Json;

use super::pattern::Budget;
use super::strings;
use super::{Health, Status};

/// How many steps a script may take; about as many instructions, where it holds little.
pub const STEPS_MAX: u64 = 5_000_000;
/// How much memory a script may use beside the object, in bytes.
pub const MEMORY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest script that is read, in bytes.
const SCRIPT_BYTES_MAX: usize = 256 * 1024;
/// After how many instructions the budget is looked at.
const LOOK: u32 = 100;
/// How many bytes that an instruction may touch count as a step.
const BYTES_PER_STEP: usize = 2_048;
/// How much memory an object may take in the interpreter, in bytes.
const OBJECT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a script has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LuaError {
    /// The script's name.
    pub script: Arc<str>,
    /// The line of the script, from 1; 0 where none is known.
    pub line: u32,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for LuaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.script)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A script that tells the health of objects.
#[derive(Debug, Clone)]
pub struct Script {
    name: Arc<str>,
    source: Arc<str>,
}

impl Script {
    /// A script with the name that errors give it; what can't be read is an error with its line.
    pub fn new(name: impl Into<Arc<str>>, source: impl Into<Arc<str>>) -> Result<Self, LuaError> {
        let made = Self { name: name.into(), source: source.into() };
        if made.source.len() > SCRIPT_BYTES_MAX {
            let message = format!("the script has more than the {SCRIPT_BYTES_MAX} bytes that are read");
            return Err(LuaError { script: made.name, line: 0, message });
        }
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::new()).map_err(|error| made.failed(&error))?;
        lua.set_memory_limit(OBJECT_BYTES_MAX).map_err(|error| made.failed(&error))?;
        let loaded = made.chunk(&lua).into_function().map(drop);
        loaded.map_err(|error| made.failed(&error))?;
        Ok(made)
    }

    /// The health of an object. `now` is what the script is told that the time is.
    pub fn health(&self, object: &Json, now: Timestamp) -> Result<Health, LuaError> {
        self.run(object, now).map_err(|error| self.failed(&error))
    }

    fn chunk<'s>(&'s self, lua: &Lua) -> mlua::chunk::Chunk<'s> {
        lua.load(&*self.source).set_name(format!("={}", self.name)).set_mode(mlua::chunk::ChunkMode::Text)
    }

    fn run(&self, object: &Json, now: Timestamp) -> mlua::Result<Health> {
        let budget = Rc::new(Budget::new(STEPS_MAX));
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::new())?;
        lua.set_memory_limit(OBJECT_BYTES_MAX)?;
        furnish(&lua, &budget, now)?;
        let mut longest = 0;
        let seen = value(&lua, object, &mut longest)?;
        lua.globals().set("obj", seen)?;
        let before = lua.used_memory();
        lua.set_memory_limit(before + MEMORY_BYTES_MAX)?;
        watch(&lua, &budget, before, longest)?;
        let answer = self.chunk(&lua).eval::<MultiValue>()?;
        lua.remove_hook();
        told(answer.into_iter().next().unwrap_or(Value::Nil))
    }

    fn failed(&self, error: &Error) -> LuaError {
        let text = match error {
            Error::MemoryError(_) => "the script uses more memory than it may".to_owned(),
            other => root(other),
        };
        let first = text.split("\nstack traceback:").next().unwrap_or_default().trim();
        let prefix = format!("{}:", self.name);
        let placed = first.strip_prefix(&prefix).and_then(|rest| {
            let (line, message) = rest.split_once(": ")?;
            Some((line.parse().ok()?, message))
        });
        let (line, message) = placed.unwrap_or((0, first));
        let message = message.replace("not enough memory", "the script uses more memory than it may");
        LuaError { script: Arc::clone(&self.name), line, message: message.chars().take(500).collect() }
    }
}

/// The message of the error that others came from.
fn root(error: &Error) -> String {
    if let Error::CallbackError { cause, traceback } = error {
        let message = root(cause);
        // The line at which the script called what failed.
        let called = traceback
            .lines()
            .map(str::trim)
            .find(|line| !line.starts_with("[C]") && !line.starts_with("stack traceback") && line.contains(": in "));
        let place = called.and_then(|line| line.rsplit_once(": in ")).map(|(place, _)| place);
        return match place {
            Some(place) if !message.starts_with(place) => format!("{place}: {message}"),
            Some(_) | None => message,
        };
    }
    if let Error::SyntaxError { message, .. } = error {
        return message.clone();
    }
    if let Error::RuntimeError(message) = error {
        return message.clone();
    }
    error.to_string()
}

/// Stops a script whose steps are used up.
fn watch(lua: &Lua, budget: &Rc<Budget>, before: usize, longest: usize) -> mlua::Result<()> {
    let budget = Rc::clone(budget);
    let every = HookTriggers::new().every_nth_instruction(LOOK);
    lua.set_hook(every, move |lua, _| {
        let extra = lua.used_memory().saturating_sub(before);
        let touched = extra + before / 8 + longest;
        let each = 1 + (touched / BYTES_PER_STEP) as u64;
        if budget.take(each * u64::from(LOOK)) { Ok(VmState::Continue) } else { Err(strings::spent()) }
    })
}

/// An object as scripts see it: what is nothing is not there.
fn value(lua: &Lua, json: &Json, longest: &mut usize) -> mlua::Result<Value> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => {
            *longest = (*longest).max(text.len());
            Value::String(lua.create_string(text)?)
        }
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in (1..).zip(items) {
                let item = value(lua, item, longest)?;
                table.raw_set(index, item)?;
            }
            Value::Table(table)
        }
        Json::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, field) in fields {
                let field = value(lua, field, longest)?;
                table.raw_set(name.as_str(), field)?;
            }
            Value::Table(table)
        }
    })
}

/// What a script answered.
fn told(answer: Value) -> mlua::Result<Health> {
    let table = match answer {
        Value::Table(table) => table,
        Value::Nil => return Ok(Health::new(Status::Unknown, "the script says nothing")),
        other => {
            let message = format!("a script returns a table with `status` and `message`, not {}", other.type_name());
            return Err(Error::runtime(message));
        }
    };
    let field = |name: &str| -> mlua::Result<Option<String>> {
        match table.raw_get::<Value>(name)? {
            Value::Nil => Ok(None),
            Value::String(text) => Ok(Some(text.to_string_lossy())),
            other => Err(Error::runtime(format!("`{name}` must be a text, not {}", other.type_name()))),
        }
    };
    let (status, message) = (field("status")?, field("message")?.unwrap_or_default());
    let Some(status) = status else { return Ok(Health::new(Status::Unknown, "the script says no status")) };
    Ok(match Status::parse(&status) {
        Some(status) => Health::new(status, message),
        None => Health::new(Status::Unknown, format!("the script says the status `{status}`, which there is not")),
    })
}

/// Takes out of the interpreter what is not for scripts, and puts in what is bounded, or what Lua 5.1 has.
fn furnish(lua: &Lua, budget: &Rc<Budget>, now: Timestamp) -> mlua::Result<()> {
    let globals = lua.globals();
    for name in ["dofile", "loadfile", "load", "loadstring", "collectgarbage", "package", "module", "print"] {
        globals.raw_set(name, Value::Nil)?;
    }
    globals.set("print", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    let (text, tables, numbers) =
        (globals.get::<Table>("string")?, globals.get::<Table>("table")?, globals.get::<Table>("math")?);
    strings::install(lua, &text, budget)?;
    numbers.set("random", Value::Nil)?;
    numbers.set("randomseed", Value::Nil)?;
    let shared = Rc::clone(budget);
    let sort = move |_: &Lua, (table, less): (Table, Option<Function>)| strings::sort(&shared, &table, less.as_ref());
    tables.set("sort", lua.create_function(sort)?)?;
    tables.set("getn", lua.create_function(|_, table: Table| Ok(table.raw_len()))?)?;
    globals.set("unpack", tables.get::<Value>("unpack")?)?;
    let time = clock(lua, now)?;
    globals.set("os", time)?;
    globals.set("require", lua.create_function(|lua, name: String| require(lua, &name))?)?;
    guard(lua, budget)?;
    traverse(lua, budget)
}

/// The libraries that a script may ask for by name, as Argo CD's may ask for `os`.
fn require(lua: &Lua, name: &str) -> mlua::Result<Value> {
    if ["os", "string", "table", "math"].contains(&name) {
        return lua.globals().get(name);
    }
    Err(Error::runtime(format!("there is no module `{name}`; there are os, string, table and math")))
}

/// `pcall` and `xpcall` that do not hold up the end of a script whose steps are used up.
fn guard(lua: &Lua, budget: &Rc<Budget>) -> mlua::Result<()> {
    let shared = Rc::clone(budget);
    let call = move |lua: &Lua, (function, arguments): (Value, MultiValue)| {
        outcome(lua, &shared, called(&function, arguments), None)
    };
    lua.globals().set("pcall", lua.create_function(call)?)?;
    let shared = Rc::clone(budget);
    let call = move |lua: &Lua, (function, handler, arguments): (Value, Function, MultiValue)| {
        outcome(lua, &shared, called(&function, arguments), Some(&handler))
    };
    lua.globals().set("xpcall", lua.create_function(call)?)
}

fn called(function: &Value, arguments: MultiValue) -> mlua::Result<MultiValue> {
    match function {
        Value::Function(function) => function.call(arguments),
        other => Err(Error::runtime(format!("attempt to call a {} value", other.type_name()))),
    }
}

fn outcome(
    lua: &Lua,
    budget: &Budget,
    called: mlua::Result<MultiValue>,
    handler: Option<&Function>,
) -> mlua::Result<MultiValue> {
    match called {
        Ok(mut values) => {
            values.push_front(Value::Boolean(true));
            Ok(values)
        }
        Err(error) if budget.is_spent() => Err(error),
        Err(error) => {
            let text = root(&error);
            let message = text.split("\nstack traceback:").next().unwrap_or_default();
            let mut told = MultiValue::from_vec(vec![Value::String(lua.create_string(message)?)]);
            if let Some(handler) = handler {
                told = handler.call(told)?;
            }
            told.push_front(Value::Boolean(false));
            Ok(told)
        }
    }
}

/// `pairs` and `next` in an order that is always the same.
fn traverse(lua: &Lua, budget: &Rc<Budget>) -> mlua::Result<()> {
    let shared = Rc::clone(budget);
    let next = move |_: &Lua, (table, key): (Table, Value)| {
        let keys = strings::keys(&shared, &table)?;
        let at = if key.is_nil() { Some(0) } else { keys.iter().position(|one| *one == key).map(|at| at + 1) };
        let Some(at) = at else { return Err(Error::runtime("invalid key to `next`")) };
        let Some(found) = keys.get(at).cloned() else { return Ok((Value::Nil, Value::Nil)) };
        let value = table.raw_get::<Value>(found.clone())?;
        Ok((found, value))
    };
    lua.globals().set("next", lua.create_function(next)?)?;
    let shared = Rc::clone(budget);
    let pairs = move |lua: &Lua, table: Table| {
        let keys = strings::keys(&shared, &table)?;
        let (at, traversed) = (std::cell::Cell::new(0), table.clone());
        let step = lua.create_function(move |_, _: MultiValue| {
            while let Some(key) = keys.get(at.get()).cloned() {
                at.set(at.get() + 1);
                let value = traversed.raw_get::<Value>(key.clone())?;
                // What was taken out on the way does not come.
                if !value.is_nil() {
                    return Ok((key, value));
                }
            }
            Ok((Value::Nil, Value::Nil))
        })?;
        Ok((step, table, Value::Nil))
    };
    lua.globals().set("pairs", lua.create_function(pairs)?)
}

/// The library `os` as Argo CD gives it to scripts: `time` and `date`. Local time is UTC.
fn clock(lua: &Lua, now: Timestamp) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let time = move |_: &Lua, table: Option<Table>| match table {
        None => Ok(now.as_second()),
        Some(table) => moment(&table),
    };
    library.set("time", lua.create_function(time)?)?;
    let date = move |lua: &Lua, (format, at): (Option<LuaString>, Option<f64>)| {
        let format = format.map_or_else(|| "%c".to_owned(), |format| format.to_string_lossy());
        #[expect(clippy::cast_possible_truncation, reason = "what is too large is the largest, which is no time")]
        let at = at.map_or(Ok(now), |at| Timestamp::from_second(at as i64));
        let at = at.map_err(|_| Error::runtime("the time is out of range"))?.to_zoned(TimeZone::UTC);
        date(lua, format.trim_start_matches('!'), &at)
    };
    library.set("date", lua.create_function(date)?)?;
    Ok(library)
}

/// Seconds since 1970 of a time in parts, each of which may be out of its range.
fn moment(table: &Table) -> mlua::Result<i64> {
    let part = |name: &str, default: Option<i64>| -> mlua::Result<i64> {
        let found = match table.raw_get::<Value>(name)? {
            Value::Nil => default,
            Value::Integer(whole) => Some(whole),
            #[expect(clippy::cast_possible_truncation, reason = "times are whole")]
            Value::Number(number) => Some(number as i64),
            other => other.as_string().and_then(|text| text.to_string_lossy().trim().parse().ok()),
        };
        found.ok_or_else(|| Error::runtime(format!("field '{name}' missing in date table")))
    };
    let (year, month, day) = (part("year", None)?, part("month", None)?, part("day", None)?);
    let (hour, minute, second) = (part("hour", Some(12))?, part("min", Some(0))?, part("sec", Some(0))?);
    let out = || Error::runtime("the time is out of range");
    let months = year.checked_mul(12).and_then(|months| months.checked_add(month.checked_sub(1)?)).ok_or_else(out)?;
    let first = i16::try_from(months.div_euclid(12)).ok().zip(i8::try_from(months.rem_euclid(12) + 1).ok());
    let date = first.and_then(|(year, month)| jiff::civil::Date::new(year, month, 1).ok()).ok_or_else(out)?;
    let start = date.to_zoned(TimeZone::UTC).map_err(|_| out())?.timestamp().as_second();
    let add = |sum: i64, number: i64, each: i64| number.checked_mul(each).and_then(|more| sum.checked_add(more));
    let day = day.checked_sub(1).ok_or_else(out)?;
    let sum = add(start, day, 86_400).and_then(|sum| add(sum, hour, 3_600)).and_then(|sum| add(sum, minute, 60));
    sum.and_then(|sum| sum.checked_add(second)).ok_or_else(out)
}

fn date(lua: &Lua, format: &str, at: &Zoned) -> mlua::Result<Value> {
    if format.starts_with("*t") {
        let table = lua.create_table()?;
        table.set("year", at.year())?;
        table.set("month", at.month())?;
        table.set("day", at.day())?;
        table.set("hour", at.hour())?;
        table.set("min", at.minute())?;
        table.set("sec", at.second())?;
        table.set("wday", at.weekday().to_sunday_one_offset())?;
        table.set("yday", at.day_of_year())?;
        table.set("isdst", false)?;
        return Ok(Value::Table(table));
    }
    let format = format.replace("%c", "%a %b %e %H:%M:%S %Y").replace("%x", "%m/%d/%y").replace("%X", "%H:%M:%S");
    let text = jiff::fmt::strtime::format(&format, at).map_err(|error| Error::runtime(error.to_string()))?;
    Ok(Value::String(lua.create_string(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(source: &str) -> Result<Health, String> {
        let object = json!({
            "kind": "Widget", "metadata": {"name": "x", "labels": {"b": "2", "a": "1", "c": null}},
            "spec": {"replicas": 3, "items": [1, 2, 3]}, "status": {"at": "2024-05-06T07:08:09Z"},
        });
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let script = Script::new("widget.lua", source).map_err(|error| error.to_string())?;
        script.health(&object, now).map_err(|error| error.to_string())
    }

    fn says(expression: &str, message: &str) {
        let source = format!("return {{status = 'Healthy', message = tostring({expression})}}");
        assert_eq!(run(&source), Ok(Health::healthy(message)), "{expression}");
    }

    #[test]
    fn scripts_see_the_object() {
        says("obj.spec.replicas", "3");
        says("#obj.spec.items", "3");
        says("obj.nothing", "nil");
        says("obj.metadata.labels.c == nil", "true");
        says("table.getn(obj.spec.items)", "3");
        says("table.concat(obj.spec.items, '-')", "1-2-3");
        says("select('#', unpack(obj.spec.items))", "3");
        let script = "hs = {}\nfor _, n in ipairs(obj.spec.items) do if n == 2 then goto skip end hs.message = 'n' .. n ::skip:: end\nhs.status = 'Degraded'\nreturn hs";
        assert_eq!(run(script), Ok(Health::degraded("n3")));
        let pairs = "local all = '' for k, v in pairs(obj.metadata.labels) do all = all .. k .. v end return {status='Healthy', message=all}";
        assert_eq!(run(pairs), Ok(Health::healthy("a1b2")));
    }

    #[test]
    fn libraries() {
        says("obj.status.at:match('(%d+)-(%d+)')", "2024");
        says("('a.b.c'):gsub('%.', '/')", "a/b/c");
        says("('abc'):find('b', 1, true)", "2");
        says("('x=1, y=2'):gsub('(%w+)=(%w+)', '%2=%1')", "1=x, 2=y");
        says("('abc'):gsub('%w', {a = 'A'})", "Abc");
        says("('abc'):gsub('%w', function(c) return c:upper() end)", "ABC");
        says("('ab'):rep(3, ',')", "ab,ab,ab");
        says("(function() local n = 0 for _ in ('a b c'):gmatch('%a') do n = n + 1 end return n end)()", "3");
        says("(function() local t = {3, 1, 2} table.sort(t) return table.concat(t) end)()", "123");
        says(
            "(function() local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return table.concat(t) end)()",
            "321",
        );
        says("os.time()", "1767323045");
        says("os.time({year=2024, month='05', day=6, hour=7, min=8, sec='09'})", "1714979289");
        says("os.date('!%Y-%m-%dT%H:%M:%SZ', 0)", "1970-01-01T00:00:00Z");
        says("os.date('*t', 0).year", "1970");
        says("require('os').time() == os.time()", "true");
        says("pcall(error, 'x')", "false");
        says("select(2, pcall(function() return nil + 1 end)) ~= nil", "true");
        says("math.huge > 1", "true");
        says("next({}) == nil", "true");
    }

    #[test]
    fn answers_are_checked() {
        assert_eq!(run("return {}").unwrap().status, Status::Unknown);
        assert_eq!(run("local x = 1").unwrap().status, Status::Unknown);
        assert_eq!(run("return {status = 'Fine'}").unwrap().status, Status::Unknown);
        assert!(run("return 7").unwrap_err().contains("a table"));
        assert_eq!(run("return {status = 'Healthy'}").unwrap(), Health::healthy(""));
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(
            run("local x = 1\nreturn y.z").unwrap_err(),
            "widget.lua:2: attempt to index global 'y' (a nil value)"
        );
        assert!(run("x = \nreturn").unwrap_err().starts_with("widget.lua:2: "));
        assert_eq!(run("\nerror('no')").unwrap_err(), "widget.lua:2: no");
        assert!(
            run("\n\n('x'):find('[')").unwrap_err().starts_with("widget.lua:3: malformed"),
            "{:?}",
            run("\n\n('x'):find('[')")
        );
    }

    #[test]
    fn nothing_else_can_be_reached() {
        for source in [
            "io.open('/etc/passwd')",
            "os.execute('true')",
            "os.getenv('HOME')",
            "loadstring('x')()",
            "load('x')()",
            "dofile('/etc/passwd')",
            "require('socket')",
            "debug.getinfo(1)",
            "string.dump(function() end)",
            "collectgarbage()",
            "coroutine.create(print)",
            "math.random()",
            "package.loadlib('x')",
        ] {
            assert!(run(source).is_err(), "{source}");
        }
        assert!(run("\u{1b}Lua").is_err());
    }

    #[test]
    fn work_is_bounded() {
        for source in [
            "while true do end",
            "while true do pcall(function() while true do end end) end",
            "while true do xpcall(function() while true do end end, function(e) return e end) end",
            "return ('a'):rep(30000):find('.-.-.-.-b')",
            "local t = {} for i = 1, 1e9 do t[i] = i end",
            "local s = 'x' while true do s = s .. s end",
            "local s = ('x'):rep(1000000) while true do local t = s .. 'y' end",
            "return ('x'):rep(1e9)",
            "return (''):rep(1e18)",
            "local function f() return pcall(f) end return f()",
            "local function f() f() end f()",
            "local t = {} for i = 1, 20000 do t[i] = i end while true do table.sort(t) end",
            "local t = {} for i = 1, 20000 do t[i] = i end while true do next(t) end",
            "return ('x'):rep(1e6):gsub('x', ('y'):rep(1000))",
            "local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x",
            "string.format('%99999d', 1)",
        ] {
            assert!(run(source).is_err(), "{source}");
        }
        assert!(run(&"(".repeat(100_000)).is_err());
        assert!(run(&format!("return {}1{}", "{".repeat(10_000), "}".repeat(10_000))).is_err());
        assert!(run(&"x".repeat(SCRIPT_BYTES_MAX + 1)).is_err());
    }
}
