//! One connection: greeting, login, commands.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::dump;
use super::packet::{OF_INSTANCE, OF_PROXY, Refusal, Wire};
use super::request::{Request, Wishes};
use super::script::Status;
use super::sql::{self, Answer};
use super::{Profile, World};

const QUIT: u8 = 0x01;
const QUERY: u8 = 0x03;
const PING: u8 = 0x0e;
const BINLOG_DUMP: u8 = 0x12;
const REGISTER_SLAVE: u8 = 0x15;
const BINLOG_DUMP_GTID: u8 = 0x1e;

/// Serves a client until it or the script has had enough.
pub(super) async fn serve(world: Arc<World>, profile: Profile, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    let id = world.state().id();
    let (version, thread, offered) = match profile {
        Profile::Instance(_) => ("5.7.35-obs", 0, OF_INSTANCE),
        Profile::Proxy | Profile::Observer => ("5.7.25", id as u32, OF_PROXY),
    };
    wire.greet(version, thread, offered).await?;
    let Some(login) = wire.login(offered).await? else {
        return Ok(());
    };
    let strict = world.state().script.enable_auth;
    if strict && login.plugin != b"mysql_native_password" {
        return wire
            .error(&Refusal {
                code: 1045,
                state: "28000",
                text: "Unsupported client plugin".to_owned(),
            })
            .await;
    }
    debug_assert_eq!(login.capabilities, wire.capabilities);
    wire.ok().await?;
    let mut wishes = Wishes::default();
    while let Some(command) = wire.command().await? {
        let (kind, rest) = command.split_first().map_or((QUIT, &[][..]), |(k, r)| (*k, r));
        match kind {
            QUIT => return Ok(()),
            QUERY => {
                let text = String::from_utf8_lossy(rest).into_owned();
                if !query(&world, profile, &mut wire, &text, &mut wishes, id).await? {
                    return Ok(());
                }
            }
            REGISTER_SLAVE if profile != Profile::Observer => wire.ok().await?,
            BINLOG_DUMP | BINLOG_DUMP_GTID if profile != Profile::Observer => {
                let request = match kind {
                    BINLOG_DUMP => Request::by_file(&command),
                    _ => Request::by_gtid(&command),
                };
                let Some(request) = request else {
                    return wire.error(&Refusal::fatal("malformed packet")).await;
                };
                let instance = match profile {
                    Profile::Instance(at) => at,
                    Profile::Proxy | Profile::Observer => {
                        if world.state().script.status == Status::NoService {
                            return wire.error(&Refusal::no_service()).await;
                        }
                        world.state().active
                    }
                };
                return dump::serve(&world, &mut wire, instance, &request, &wishes).await;
            }
            // Everything but the above closes the socket of an instance.
            _ if matches!(profile, Profile::Instance(_)) => return Ok(()),
            PING => wire.ok().await?,
            _ => {
                let text = "Unsupported command".to_owned();
                let refusal = Refusal {
                    code: 1235,
                    state: "0A000",
                    text,
                };
                wire.error(&refusal).await?;
            }
        }
    }
    Ok(())
}

/// Answers a statement; whether the connection stays.
async fn query(
    world: &World,
    profile: Profile,
    wire: &mut Wire,
    text: &str,
    wishes: &mut Wishes,
    id: u64,
) -> io::Result<bool> {
    sql::set(text, wishes);
    let answer = {
        let mut state = world.state();
        state.asked.push(text.to_owned());
        match profile {
            Profile::Proxy => sql::of_proxy(&mut state, text, id),
            Profile::Observer => sql::of_observer(&mut state, text, id),
            Profile::Instance(at) => sql::of_instance(&state, at, text),
        }
    };
    match answer {
        Answer::Done => wire.ok().await?,
        Answer::Rows(columns, rows) => wire.rows(&columns, &rows).await?,
        Answer::Error(refusal) => wire.error(&refusal).await?,
        Answer::HangUp(refusal) => {
            wire.error(&refusal).await?;
            return Ok(false);
        }
    }
    Ok(true)
}
