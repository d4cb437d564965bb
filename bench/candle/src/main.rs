// ModernBERT on Candle for bench/encoder: merit-bench-candle FOLDER, with the ids of a pass on each line of stdin.
// Answers each line with the CPU nanoseconds of the whole process for one pass and the first value of its result.
// Threads are set from outside (RAYON_NUM_THREADS).
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::modernbert::{Config, ModernBert};
use std::io::{BufRead, Write};

type Anything = Box<dyn std::error::Error>;

// User and system time of all threads, from the kernel's accounting; exited threads are in none of them, and none exits here.
fn cpu_ns() -> Result<u64, Anything> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split(' ').next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(sum)
}

fn config(json: &str) -> Result<Config, Anything> {
    Ok(serde_json::from_str(json)?)
}

fn main() -> Result<(), Anything> {
    let folder = std::env::args().nth(1).ok_or("usage: merit-bench-candle FOLDER")?;
    let config = config(&std::fs::read_to_string(format!("{folder}/config.json"))?)?;
    let file = format!("{folder}/model.safetensors");
    let weights = unsafe { VarBuilder::from_mmaped_safetensors(&[file], DType::F32, &Device::Cpu)? };
    let model = ModernBert::load(weights, &config)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let ids = line?.split_whitespace().map(|id| id.parse::<u32>()).collect::<Result<Vec<_>, _>>()?;
        let ids = Tensor::new(ids.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
        let mask = ids.ones_like()?;
        let began = cpu_ns()?;
        let states = model.forward(&ids, &mask)?;
        let first = states.flatten_all()?.get(0)?.to_scalar::<f32>()?;
        println!("{} {first}", cpu_ns()? - began);
        std::io::stdout().flush()?;
    }
    Ok(())
}
