#[cfg(test)]
mod simulation;
